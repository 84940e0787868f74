import { existsSync } from 'node:fs';
import { MerestoneError } from '../../base/error.ts';
import { rawLines } from '../evidence-file.ts';
import type { Row } from '../row.ts';
import type { KeptRow } from './kept-row.ts';

/** A line that is no row; `place` is where. */
export interface NoRow {
  place: string;
}

/** The rows in files that `consume` wrote, in their order. Throws FileNotFound. */
export function* ndjsonRows(paths: readonly string[]): Generator<KeptRow | NoRow> {
  for (const path of paths) {
    if (!existsSync(path)) {
      throw new MerestoneError('FileNotFound', 'there are no rows here', {
        subject: path,
        hint: 'name the file that consume was given as --output',
      });
    }
    let number = 0;
    for (const { text } of rawLines(path)) {
      number++;
      yield rowOf(text) ?? { place: `${path}:${number}` };
    }
  }
}

function rowOf(text = ''): KeptRow | undefined {
  try {
    const row = JSON.parse(text) as Row;
    const isPlaced = [row.tenant, row.gateway, row.epoch].every((part) => typeof part === 'string');
    if (!isPlaced || !Number.isSafeInteger(row.seq)) return undefined;
    const epoch = row.fork === undefined ? row.epoch : `${row.epoch}~${row.fork}`;
    return { ...row, epoch, ts: Date.parse(row.time) === row.ts ? row.ts : NaN };
  } catch {
    return undefined;
  }
}
