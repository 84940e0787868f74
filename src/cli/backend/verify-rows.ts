import { ndjsonRows } from '../../backend/rows/ndjson-rows.ts';
import type { RowFault } from '../../backend/rows/row-check.ts';
import { verifyRows, type RowsReport } from '../../backend/rows/verify-rows.ts';
import { formatRanges } from '../../backend/seq-set.ts';
import { MerestoneError } from '../../base/error.ts';
import { ExitCode } from '../../base/exit-code.ts';
import { plainDocument } from '../../base/plain-text.ts';
import { isSegment } from '../../messages/segment.ts';
import type { Command } from '../command.ts';
import { logName, monthsRemoved, many, needed, text } from '../option.ts';
import { withPackage } from '../optional-package.ts';
import { print, printJson } from '../output.ts';
import { instant, month } from './instant.ts';
import { publicKeys } from './public-keys.ts';

interface VerifyRowsArguments {
  tenant: string;
  evidence: string;
  rows: string[];
  postgres: string | undefined;
  heads: string | undefined;
  key: string[];
  'log-name': string;
  'removed-before': string | undefined;
  from: string;
  to: string | undefined;
}

const command: Command<VerifyRowsArguments> = {
  command: 'verify-rows',
  describe: 'whether rows are still those that consume wrote, by the digests in its evidence',
  builder: (yargs) =>
    yargs.parserConfiguration({ 'duplicate-arguments-array': true }).options({
      tenant: needed('whose rows'),
      evidence: needed('the folder that consume was given as --evidence'),
      rows: many('a file that consume wrote as --output; may be repeated, the oldest first'),
      postgres: text('the database that consume was given instead: postgres://USER@HOST/DATABASE'),
      heads: text('the file that consume was given as --heads'),
      key: many(
        'a public key that may have signed: NAME+ID+KEY, as --heads begins, or a PEM file; may be repeated',
      ),
      'log-name': logName,
      'removed-before': monthsRemoved,
      from: { ...text('rows of batches since then must be there: 2026-11-01'), default: '1970-01-01' },
      to: text('… and until then; left out: now'),
    }),
  handler: run,
};

export default command;

async function run(args: VerifyRowsArguments & { json: boolean }): Promise<void> {
  const { tenant, evidence: folder, heads, 'log-name': log } = args;
  if (!isSegment(tenant)) throw new MerestoneError('Usage', `'${tenant}' is no tenant`);
  if (args.rows.length > 0 === (args.postgres !== undefined)) {
    throw new MerestoneError('Usage', 'say where the rows are: --rows FILE or --postgres URL');
  }
  const from = instant(args.from, 'from');
  const to = args.to === undefined ? Date.now() : instant(args.to, 'to');
  const removedBefore = month(args['removed-before'], 'removed-before');
  const keys = publicKeys(args.key);
  const options = { folder, tenant, log, heads, keys, from, to, removedBefore };
  const found = await verifyRows(await rowsOf(args), options);
  if (args.json) await printJson(found);
  else await print(format(plainDocument(found)));
  const { damaged, faults, noRows } = found;
  if (damaged.length + faults.length + noRows.length > 0) process.exitCode = ExitCode.Io;
}

async function rowsOf({ rows, postgres, tenant }: VerifyRowsArguments) {
  if (postgres === undefined) return ndjsonRows(rows);
  const load = () => import('../../backend/rows/postgres-rows.ts');
  const { postgresRows } = await withPackage('pg', 'backend verify-rows --postgres', load);
  return postgresRows(postgres, tenant);
}

function format({
  tenant,
  damaged,
  cannotSee,
  good,
  faults,
  omitted,
  older,
  noRows,
  withheld,
}: RowsReport): string {
  const whole = faults.length + noRows.length === 0;
  return [
    `Rows of tenant ${tenant}: ${good.rows} rows of ${good.batches} batches are those that were written`,
    ...section('The evidence itself is damaged:', damaged),
    ...section('Not as they were written:', faults.map(faultLine)),
    ...(omitted > 0 ? [`  and ${omitted} more`] : []),
    ...section('No rows:', noRows),
    ...section(
      'Not all batches of these gateways have a digest, so rows may be called added that were not:',
      withheld,
    ),
    ...(older > 0
      ? ['', `${older} rows are of batches from before the evidence, which cannot be judged.`]
      : []),
    ...section('What this cannot show:', cannotSee),
    ...(whole ? ['', 'Nothing is altered, missing or added.'] : []),
    '',
  ].join('\n');
}

function faultLine({ kind, gateway, epoch, from, to, message }: RowFault): string {
  return `${kind.padEnd(7)} ${gateway} ${epoch} ${formatRanges([[from, to]])}: ${message}`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];
}
