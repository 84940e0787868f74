export interface SpoolOptions {
  /** Folder of this spool's files, absolute; made where it is missing. */
  directory: string;
  /** The files of the spool together stay under this; at least `spoolBytesMin`. */
  bytesMax: number;
  whenFull: 'drop-oldest' | 'drop-newest';
  /** A data key seals batches for this long, then a new one takes over. */
  keyPeriodMs: number;
}

/** Below this the fixed parts (tables, WAL, reserve) leave too little room for batches. */
export const spoolBytesMin = 1_000_000;
