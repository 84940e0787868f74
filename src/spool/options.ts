export interface SpoolOptions {
  /** Folder of this spool's files, absolute; made where it is missing. */
  directory: string;
  /** The files of the spool together stay under this; at least `spoolBytesMin`. */
  bytesMax: number;
  whenFull: 'drop-oldest' | 'drop-newest';
  /** A data key seals batches for this long, then a new one takes over. */
  keyPeriodMs: number;
}

/** 128 pages: below this the fixed parts (tables, WAL, reserve) leave no room for batches. */
export const spoolBytesMin = 524_288;
