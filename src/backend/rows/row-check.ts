import { RowDigest } from '../row-digest.ts';
import type { BatchName, BatchRun, ExpectedBatches } from './expected-batches.ts';
import type { KeptRow } from './kept-row.ts';

export interface RowFault extends BatchRun {
  kind: 'altered' | 'missing' | 'added';
  message: string;
}

/** Faults that are told one by one. */
const faultsMax = 10_000;

/** Holds a tenant's rows, batch by batch as they are read, against the digests of what was written. */
export class RowCheck {
  readonly faults: RowFault[] = [];
  /** Faults beyond those. */
  omitted = 0;
  /** Batches whose rows are those that were written, and how many these are. */
  readonly good = { batches: 0, rows: 0 };
  /** Rows of batches from before the evidence. */
  older = 0;
  readonly #expected: ExpectedBatches;
  #batch: { name: BatchName; digest: RowDigest } | undefined;

  constructor(expected: ExpectedBatches) {
    this.#expected = expected;
  }

  take(row: KeptRow): void {
    const { gateway, epoch, seq } = row;
    const name = this.#batch?.name;
    if (name?.seq !== seq || name.epoch !== epoch || name.gateway !== gateway) {
      this.#judge();
      this.#batch = { name: { gateway, epoch, seq }, digest: new RowDigest() };
    }
    this.#batch!.digest.add(row);
  }

  /** No row comes any more. */
  end(): void {
    this.#judge();
    for (const run of this.#expected.unseen()) {
      this.#add({ ...run, kind: 'missing', message: `all ${run.rows} rows are gone` });
    }
  }

  #judge(): void {
    if (this.#batch === undefined) return;
    const { name, digest } = this.#batch;
    this.#batch = undefined;
    const { count } = digest;
    const found = this.#expected.find(name);
    if (found.length === 0) {
      if (this.#expected.isOlder(name)) this.older += count;
      else this.#find(name, 'added', count, `${count} rows of a batch that the evidence does not have`);
      return;
    }
    if (found.some(({ seen }) => seen === 1)) {
      return this.#find(name, 'added', count, `${count} more rows of a batch stand apart from its own`);
    }
    this.#expected.see(name);
    const sha256 = digest.end();
    if (found.some((each) => each.digest === sha256)) {
      this.good.batches++;
      this.good.rows += count;
      return;
    }
    const written = found[0]!.rows;
    if (count === written) this.#find(name, 'altered', count, 'rows are not those that were written');
    else if (count < written)
      this.#find(name, 'missing', written - count, `${count} of ${written} rows are there`);
    else this.#find(name, 'added', count - written, `${count} rows are there, ${written} were written`);
  }

  #find({ gateway, epoch, seq }: BatchName, kind: RowFault['kind'], rows: number, message: string): void {
    this.#add({ gateway, epoch, from: seq, to: seq, kind, rows, message });
  }

  #add(fault: RowFault): void {
    if (this.faults.length < faultsMax) this.faults.push(fault);
    else this.omitted++;
  }
}
