import Database from 'better-sqlite3';
import type { BatchDigest } from '../evidence.ts';

export interface BatchName {
  gateway: string;
  epoch: string;
  seq: number;
}

/** Batches that follow one another. */
export interface BatchRun {
  gateway: string;
  epoch: string;
  from: number;
  to: number;
  rows: number;
}

/**
 * What evidence says that was written, in a file of SQLite's own that goes with the process: millions of batches
 * need no memory. A batch that came twice may have two digests, as units became known in between.
 */
export class ExpectedBatches {
  readonly #database = new Database('');
  readonly #add;
  readonly #find;
  readonly #see;
  readonly #first;

  constructor() {
    this.#database.pragma('journal_mode = OFF');
    this.#database.exec(`
      CREATE TABLE batch (
        gateway TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, digest TEXT NOT NULL,
        rows INTEGER NOT NULL, asked INTEGER NOT NULL, seen INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (gateway, epoch, seq, digest)) WITHOUT ROWID`);
    this.#database.exec('BEGIN');
    this.#add = this.#database.prepare('INSERT OR IGNORE INTO batch VALUES (?, ?, ?, ?, ?, ?, 0)');
    this.#find = this.#database.prepare<[string, string, number], Found>(
      'SELECT digest, rows, seen FROM batch WHERE gateway = ? AND epoch = ? AND seq = ?',
    );
    this.#see = this.#database.prepare(
      'UPDATE batch SET seen = 1 WHERE gateway = ? AND epoch = ? AND seq = ?',
    );
    this.#first = this.#database.prepare<[string], { epoch: string; seq: number }>(
      'SELECT epoch, seq FROM batch WHERE gateway = ? ORDER BY epoch, seq LIMIT 1',
    );
  }

  /** `isAsked`: its rows must be there. */
  add(gateway: string, { epoch, seq, rows, rowsSha256 }: BatchDigest, isAsked: boolean): void {
    this.#add.run(gateway, epoch, seq, rowsSha256, rows, isAsked ? 1 : 0);
  }

  find({ gateway, epoch, seq }: BatchName): Found[] {
    return this.#find.all(gateway, epoch, seq);
  }

  see({ gateway, epoch, seq }: BatchName): void {
    this.#see.run(gateway, epoch, seq);
  }

  /** Whether a batch is older than the gateway's first one in the evidence. */
  isOlder({ gateway, epoch, seq }: BatchName): boolean {
    const first = this.#first.get(gateway);
    if (first === undefined) return false;
    return epoch < first.epoch || (epoch === first.epoch && seq < first.seq);
  }

  /** Batches of which no row was seen and that had some. */
  *unseen(): Generator<BatchRun> {
    const query = this.#database.prepare<[], BatchName & { rows: number }>(`
      SELECT gateway, epoch, seq, max(rows) AS rows FROM batch WHERE seen = 0 AND asked = 1
      GROUP BY gateway, epoch, seq HAVING max(rows) > 0 ORDER BY gateway, epoch, seq`);
    let run: BatchRun | undefined;
    for (const { gateway, epoch, seq, rows } of query.iterate()) {
      if (run?.gateway === gateway && run.epoch === epoch && run.to + 1 === seq) {
        run.to = seq;
        run.rows += rows;
        continue;
      }
      if (run !== undefined) yield run;
      run = { gateway, epoch, from: seq, to: seq, rows };
    }
    if (run !== undefined) yield run;
  }

  close(): void {
    this.#database.close();
  }
}

interface Found {
  digest: string;
  rows: number;
  seen: number;
}
