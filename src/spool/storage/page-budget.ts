import { MerestoneError } from '../../base/error.ts';
import { spoolBytesMin } from '../options.ts';
import { pageBytes } from './database-schema.ts';

/** How `bytesMax` is divided, in pages of 4096 bytes. */
export interface Quota {
  /** Of the database file. */
  filePagesMax: number;
  /** Frames that the WAL has room for. A checkpoint is due at half of it, a commit takes half at most. */
  walPages: number;
}

/** SQLite file format, section 4.1: a WAL has a header, and each page in it has one. */
export const walHeaderBytes = 32;
export const walFrameHeaderBytes = 24;
export const walFrameBytes = walFrameHeaderBytes + pageBytes;

/** 4 MB is SQLite's own measure: pages written again and again between two checkpoints reach the file once. */
const walPagesMax = 1024;
/** Half of it holds a batch of 64 kB sealed, which is some 600 kB of readings. */
const walPagesMin = 56;

/**
 * A WAL of an eighth, within bounds; the reserve (reserve.ts) is as large; the rest is for batches.
 * Throws ConfigInvalid below `spoolBytesMin`.
 */
export function quotaOf(bytesMax: number): Quota {
  if (bytesMax < spoolBytesMin) {
    throw new MerestoneError('ConfigInvalid', `a spool of ${bytesMax} bytes is too small to work in`, {
      hint: `set spool.bytesMax to at least ${spoolBytesMin / 1e6} MB`,
    });
  }
  const eighth = Math.floor(bytesMax / 8 / pageBytes);
  const walPages = Math.max(walPagesMin, Math.min(walPagesMax, eighth));
  const filePagesMax = Math.floor((bytesMax - 2 * (walPages * walFrameBytes + walHeaderBytes)) / pageBytes);
  return { filePagesMax, walPages };
}

/** Pages that must be free so that a row of this many bytes surely fits: its own, and those a split needs. */
export function pagesFor(bytes: number): number {
  return Math.ceil((bytes + rowBytes) / (pageBytes - overflowPointerBytes)) + splitPages;
}

/** A batch row's clear columns, with room to spare. */
const rowBytes = 200;
/** An overflow page begins with the number of the next. */
const overflowPointerBytes = 4;
/** A split at every level of three trees (batch, event, ledger), none of which is ever four levels high. */
const splitPages = 9;
