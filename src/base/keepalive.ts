/**
 * The keep alive to use when a broker's CONNACK announces another one than was asked for. A shorter one is taken; a
 * longer one, or 0 (off), is not: a dead connection would go unnoticed for hours.
 */
export function keepaliveWithin(announcedSeconds: number | undefined, ownSeconds: number): number {
  return Math.min(announcedSeconds || ownSeconds, ownSeconds);
}
