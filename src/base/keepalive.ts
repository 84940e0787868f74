/**
 * The keep alive to go by where a broker's CONNACK announces another one than was asked for: it may be shorter than
 * ours, and never so long, or 0 for none, that a dead connection goes unnoticed for hours.
 */
export function keepaliveWithin(announcedSeconds: number | undefined, ownSeconds: number): number {
  return Math.min(announcedSeconds || ownSeconds, ownSeconds);
}
