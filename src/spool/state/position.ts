/**
 * A batch's place in the file: (epoch, seq) as one row id, so that row order is publishing order.
 * 2^40 batches an epoch outlast 1,000 a second for 34 years; 2^12 epochs stay below 2^53.
 */
const seqSpan = 2 ** 40;

export function positionOf(epochNumber: number, seq: number): number {
  return epochNumber * seqSpan + seq;
}

export function epochNumberOf(position: number): number {
  return Math.floor(position / seqSpan);
}

export function seqOf(position: number): number {
  return position % seqSpan;
}
