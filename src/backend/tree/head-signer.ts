import { createPublicKey, type KeyObject } from 'node:crypto';
import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { MerestoneError } from '../../base/error.ts';
import type { Origin } from '../../messages/topic.ts';
import type { RightEdge } from './merkle-tree.ts';
import { formatPublicKey, signNote } from './signed-note.ts';
import { formatHead, originOf } from './tree-head.ts';

export interface HeadSignerOptions {
  /** How the origin of each tree begins. */
  log: string;
  key: KeyObject;
  /** A file elsewhere that gets each head. */
  file: string | undefined;
  /** A tree that grows is signed so often, ms. */
  everyMs: number;
}

/** Signs tree heads, and hands them on. */
export class HeadSigner {
  readonly everyMs: number;
  /** As C2SP's signed-note writes it. */
  readonly publicKey: string;
  readonly #options: HeadSignerOptions;

  /** Throws Io where the file elsewhere cannot be written. */
  constructor(options: HeadSignerOptions) {
    const { log, key, everyMs } = options;
    this.#options = options;
    this.everyMs = everyMs;
    this.publicKey = formatPublicKey(log, createPublicKey(key));
    // A reader of the file can check it with nothing else.
    this.#hand(`${this.publicKey}\n\n`);
  }

  /** The signed head of a gateway's tree, which has been handed on. Throws Io. */
  sign(gateway: Origin, edge: RightEdge): string {
    const { log, key } = this.#options;
    const origin = originOf(log, gateway);
    const note = signNote(formatHead({ origin, size: edge.size, root: edge.root() }), origin, key);
    this.#hand(`${note}\n`);
    return note;
  }

  #hand(record: string): void {
    const { file } = this.#options;
    if (file !== undefined) appendRecord(file, record);
  }
}

/** Adds a record to a file of records that each end with an empty line. Throws Io. */
export function appendRecord(path: string, record: string): void {
  try {
    appendFileSync(path, endsWell(path) ? record : `\n\n${record}`, { mode: 0o640 });
  } catch (cause) {
    throw new MerestoneError('Io', `heads of the evidence cannot be written: ${(cause as Error).message}`, {
      subject: path,
      hint: 'make room or mend the permissions; what was not kept is not acknowledged, and comes again',
      cause,
    });
  }
}

/** Whether the last record is whole: a crash may have cut it. */
function endsWell(path: string): boolean {
  const file = openSync(path, 'a+', 0o640);
  try {
    const { size } = fstatSync(file);
    const end = Buffer.alloc(2);
    readSync(file, end, 0, 2, Math.max(0, size - 2));
    return size === 0 || end.equals(Buffer.from('\n\n'));
  } finally {
    closeSync(file);
  }
}
