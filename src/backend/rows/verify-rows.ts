import { gatewaysIn, readLines } from '../evidence-reader.ts';
import { EvidenceCheck, type EvidenceCheckOptions } from '../tree/evidence-check.ts';
import { ExpectedBatches } from './expected-batches.ts';
import type { KeptRow } from './kept-row.ts';
import type { NoRow } from './ndjson-rows.ts';
import { RowCheck, type RowFault } from './row-check.ts';

export interface VerifyRowsOptions extends EvidenceCheckOptions {
  /** Rows of batches that the backend had in this time must be there; ms since 1970 UTC, both ends included. */
  from: number;
  to: number;
}

export interface RowsReport {
  tenant: string;
  /** Evidence that is not what was kept: what it says of rows is not to be believed then. */
  damaged: string[];
  cannotSee: string[];
  /** Batches whose rows are those that were written, and how many these are. */
  good: { batches: number; rows: number };
  faults: RowFault[];
  /** Faults beyond those. */
  omitted: number;
  /** Rows of batches from before the evidence, which it cannot judge. */
  older: number;
  /** Lines that are no rows. */
  noRows: string[];
  /** Gateways whose digests had no room: what has no digest need not have been added. */
  withheld: string[];
}

const noRowsMax = 1000;

/** Holds a tenant's rows against the digests in its evidence. Throws FileNotFound, and what `rows` throws. */
export async function verifyRows(
  rows: AsyncIterable<KeptRow | NoRow> | Iterable<KeptRow | NoRow>,
  options: VerifyRowsOptions,
): Promise<RowsReport> {
  const { tenant } = options;
  const expected = new ExpectedBatches();
  try {
    const { damaged, cannotSee, withheld } = readExpected(expected, options);
    const check = new RowCheck(expected);
    const noRows: string[] = [];
    for await (const row of rows) {
      if ('place' in row) {
        if (noRows.length < noRowsMax) noRows.push(row.place);
      } else if (row.tenant === tenant) {
        check.take(row);
      }
    }
    check.end();
    const { faults, omitted, good, older } = check;
    return { tenant, damaged, cannotSee, good, faults, omitted, older, noRows, withheld };
  } finally {
    expected.close();
  }
}

function readExpected(
  expected: ExpectedBatches,
  options: VerifyRowsOptions,
): Pick<RowsReport, 'damaged' | 'cannotSee' | 'withheld'> {
  const { folder, tenant, from, to } = options;
  const check = new EvidenceCheck(options);
  const own = gatewaysIn(folder).flatMap((origin) => (origin.tenant === tenant ? [origin.gateway] : []));
  const damaged: string[] = [];
  const withheld = new Set<string>();
  for (const gateway of new Set([...own, ...check.gateways])) {
    const tree = check.begin(gateway);
    for (const read of own.includes(gateway) ? readLines(folder, { tenant, gateway }) : []) {
      tree.take(read.leaf, read.place);
      if (read.kind === 'broken' || (read.kind === 'line' && !read.intact)) damaged.push(read.place);
      if (read.kind !== 'line') continue;
      const { line } = read;
      if ('batch' in line) expected.add(gateway, line.batch, from <= line.at && line.at <= to);
      else if ('finding' in line && isWithheld(line.finding)) withheld.add(gateway);
    }
    check.end(gateway, tree);
  }
  return { damaged: [...damaged, ...check.faults], cannotSee: check.cannotSee, withheld: [...withheld] };
}

function isWithheld({ kind, class: of }: Readonly<Record<string, unknown>>): boolean {
  return kind === 'evidence-limit' && of === 'batch';
}
