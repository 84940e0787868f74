import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { walOf } from '../storage/layout.ts';
import { sizeOf } from '../storage/disk.ts';
import { walFrameBytes, walFrameHeaderBytes, walHeaderBytes } from '../storage/page-budget.ts';
import { pageBytes } from '../storage/database-schema.ts';
import { type RawRow, rowsOn } from './page-reader.ts';

/** Where the salts stand, which tell one generation of frames from the next. */
const walSaltsAt = 16;
const frameSaltsAt = 8;
const saltBytes = 8;

/** A WAL is never longer than a checkpoint lets it be; what is, is not read into memory. */
const walBytesMax = 256 * 1024 * 1024;

/** Reads each page of a database that was set aside, and each image of a page in its WAL. */
export class DamagedFile {
  readonly name: string;
  readonly #descriptor: number;
  readonly #pageCount: number;
  readonly #wal: Buffer;
  /** Where the current generation's last image of a page stands in the WAL. */
  readonly #inWal = new Map<number, number>();

  constructor(file: string) {
    this.name = file;
    this.#descriptor = openSync(file, 'r');
    this.#pageCount = Math.ceil(sizeOf(file) / pageBytes);
    this.#wal = readWal(walOf(file)) ?? Buffer.alloc(0);
    const [ofHeader, ofFirst] = [this.#salts(walSaltsAt), this.#salts(walHeaderBytes + frameSaltsAt)];
    for (const frame of this.#frames()) {
      const salts = this.#salts(frame + frameSaltsAt);
      if (salts === ofHeader || salts === ofFirst) this.#inWal.set(this.#wal.readUInt32BE(frame), frame);
    }
  }

  /** Everything that could be a row, wherever it is; the same row may come many times. */
  *rows(): Generator<RawRow> {
    // The first page holds the schema.
    for (let number = 2; number <= this.#pageCount; number += 1) yield* rowsOn(this.#inDatabase(number)!);
    for (const frame of this.#frames()) yield* rowsOn(this.#image(frame));
  }

  /** A page as the last commit left it, as far as anybody can tell. */
  readonly latestPage = (number: number): Buffer | undefined => {
    const frame = this.#inWal.get(number);
    return frame === undefined ? this.#inDatabase(number) : this.#image(frame);
  };

  /** A page as the last checkpoint left it. */
  readonly checkpointedPage = (number: number): Buffer | undefined => this.#inDatabase(number);

  close(): void {
    closeSync(this.#descriptor);
  }

  *#frames(): Generator<number> {
    for (let at = walHeaderBytes; at + walFrameBytes <= this.#wal.length; at += walFrameBytes) yield at;
  }

  #image(frame: number): Buffer {
    return this.#wal.subarray(frame + walFrameHeaderBytes, frame + walFrameBytes);
  }

  #salts(at: number): string {
    return this.#wal.toString('latin1', at, at + saltBytes);
  }

  /** Undefined past the end; what was cut off or is unreadable is zeros. */
  #inDatabase(number: number): Buffer | undefined {
    if (number < 1 || number > this.#pageCount) return undefined;
    const page = Buffer.alloc(pageBytes);
    try {
      readSync(this.#descriptor, page, 0, pageBytes, (number - 1) * pageBytes);
    } catch {
      page.fill(0); // a sector that the medium lost
    }
    return page;
  }
}

/** Undefined if there is none. */
export function readWal(file: string): Buffer | undefined {
  if (!existsSync(file)) return undefined;
  const bytes = readFileSync(file);
  return bytes.length === 0 || bytes.length > walBytesMax ? undefined : bytes;
}
