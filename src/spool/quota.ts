import { MerestoneError } from '../base/error.ts';
import { spoolBytesMin } from './options.ts';
import { pageBytes } from './schema.ts';

/** How `bytesMax` is divided, in pages of 4096 bytes. */
export interface Quota {
  /** Of the database file, held by SQLite's max_page_count. */
  filePagesMax: number;
  /** The WAL is checkpointed before it has more frames than this. */
  walPages: number;
}

/**
 * A WAL of 4 MB is SQLite's own measure: pages written again and again between two checkpoints reach
 * the file once. A small spool gives it an eighth. The reserve (reserve.ts) is as large again.
 * Throws ConfigInvalid below `spoolBytesMin`.
 */
export function quotaOf(bytesMax: number): Quota {
  if (bytesMax < spoolBytesMin) {
    throw new MerestoneError('ConfigInvalid', `a spool of ${bytesMax} bytes is too small to work in`, {
      hint: `set spool.bytesMax to at least ${spoolBytesMin / 1000} kB`,
    });
  }
  const pages = Math.floor(bytesMax / pageBytes);
  const walPages = Math.min(1024, Math.floor(pages / 8));
  return { filePagesMax: pages - 2 * walPages, walPages };
}

/** Pages that must be free so that a row of so many bytes surely fits: its own, and those a split needs. */
export function pagesFor(bytes: number): number {
  return Math.ceil((bytes + rowBytes) / (pageBytes - overflowLinkBytes)) + splitPages;
}

/** A batch row's clear columns, with room to spare. */
const rowBytes = 200;
/** An overflow page begins with the number of the next. */
const overflowLinkBytes = 4;
/** A split at every level of three trees (batch, event, ledger), none of which is ever four levels high. */
const splitPages = 9;
