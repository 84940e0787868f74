import type { DigestedRow } from '../row-digest.ts';

/** A row as it is found where rows were written; `ts` is NaN where its two times are not the same. */
export interface KeptRow extends DigestedRow {
  tenant: string;
  gateway: string;
  /** With its `~1` where it is of a second chain. */
  epoch: string;
  seq: number;
}
