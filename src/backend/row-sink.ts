import { write } from 'node:fs';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { sleep, systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { inTurns, type Breathe, type Steps } from '../base/steps.ts';
import { plainJson } from '../base/plain-text.ts';
import type { Row } from './row.ts';
import type { OutputMark } from './state-database.ts';
import type { StateStore } from './state-store.ts';

/** Where rows go. `write` resolves when they are out of our hands, and so may be acknowledged. */
export interface RowSink {
  /** Known to take nothing for now. */
  readonly isAway?: boolean;
  /** `rows`: all of one batch, in its order. Asks `breathe` before it writes the first, not after. */
  write(rows: readonly Row[], breathe?: Breathe): Promise<void>;
  /** How far the output is, where it can be cut back to there after a crash. */
  mark(): OutputMark | undefined;
  close(): Promise<void>;
}

/** A reader that is slower than we are makes a non-blocking pipe refuse: it is asked again this often. */
const retryMs = 1;

/** Rows between two steps. */
const stepRows = 500;

const goOn: Breathe = () => undefined;

/** JSON that does nothing to a terminal either: a device's text may have any characters. */
function* formatRows(rows: readonly Row[]): Steps<Buffer> {
  const parts: Buffer[] = [];
  for (let index = 0; index < rows.length; index += stepRows) {
    const lines = rows.slice(index, index + stepRows).map((row) => `${plainJson(row)}\n`);
    parts.push(Buffer.from(lines.join('')));
    yield;
  }
  return Buffer.concat(parts);
}

/** Rows as NDJSON to standard output. Not through process.stdout, which blocks the whole process on a full pipe. */
export function standardOutputSink(): RowSink {
  return {
    write: async (rows, breathe = goOn) => writeAll(1, await inTurns(formatRows(rows), breathe)),
    mark: () => undefined,
    close: async () => {},
  };
}

export interface FileSink extends RowSink {
  /** Bytes that belonged to a message that was never acknowledged and comes again: they were cut off. */
  cutBytes: number;
  /** Bytes that the state says were written and that are not there, as after a power cut. */
  lostBytes: number;
}

/** Rows as NDJSON, appended to a file that ends where `store` says, so that a crash doubles none. */
export async function openFileSink(path: string, store: StateStore): Promise<FileSink> {
  const file = await open(path, 'a', 0o640).catch((cause: unknown) => {
    throw outputFault(cause, path);
  });
  const { ino: inode, size } = await file.stat();
  const last = store.output(path);
  // Another file under the same name (a rotated log) has nothing to do with what was written before.
  const known = last?.inode === inode ? last.bytes : size;
  let bytes = Math.min(size, known);
  if (bytes < size) await file.truncate(bytes);
  const mark = (): OutputMark => ({ path, inode, bytes });
  store.commit({ output: mark() });
  return {
    write: async (rows, breathe = goOn) => {
      const text = await inTurns(formatRows(rows), breathe);
      await writeAll(file.fd, text);
      bytes += text.length;
    },
    mark,
    close: () => file.close(),
    cutBytes: size - bytes,
    lostBytes: known - bytes,
  };
}

const writeOnce = promisify(write);

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += (await writeOnce(fd, bytes, written, bytes.length - written)).bytesWritten;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN') throw outputFault(cause);
      await sleep(systemClock, retryMs);
    }
  }
}

function outputFault(cause: unknown, subject?: string): MerestoneError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new MerestoneError(code === 'EPIPE' ? 'OutputClosed' : 'Io', `rows cannot be written: ${message}`, {
    ...(subject !== undefined && { subject }),
    hint: 'nothing is lost: what was not written is not acknowledged, and the broker sends it again',
    cause,
  });
}
