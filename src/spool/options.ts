export interface SpoolOptions {
  /** Folder of this spool's files, absolute; made where it is missing. */
  directory: string;
  /** The file and its WAL together stay under this. */
  bytesMax: number;
  whenFull: 'drop-oldest' | 'drop-newest';
  /** A data key seals batches for this long, then a new one takes over. */
  keyPeriodMs: number;
}
