/**
 * What a noisy neighbour costs: two tenants on one gateway, and what one of them does to the other.
 *
 *   node scripts/bench-neighbours.ts [--seconds 15] [--plague flood] [--isolation process]
 *
 * For each plague the quiet tenant is measured first without it and then with it, in one run of the gateway. Prints
 * the quiet tenant's lost samples (its units count their requests, so a lost one shows) and the latency from answer
 * to backend. Exits with 1 where a sample is lost or the 99th percentile is more than 1.5 times what it was.
 */
import { parseArgs } from 'node:util';
import {
  isolatePlagues,
  Neighbourhood,
  noisySilo,
  type Plague,
  quietSilo,
  sitePlagues,
} from '../test/support/neighbours.ts';
import type { Isolation } from '../src/status/status.ts';
import { isolations } from '../test/support/site.ts';

const ratioMax = 1.5;
/** Compiling and connecting are over. */
const warmUpMs = 4000;

const { values: settings } = parseArgs({
  options: {
    seconds: { type: 'string', default: '15' },
    plague: { type: 'string' },
    isolation: { type: 'string', default: 'thread' },
  },
});
const windowMs = Number(settings.seconds) * 1000;
const isolation = isolations.find((each) => each === settings.isolation);
if (isolation === undefined) throw new Error(`no such wall; there are ${isolations.join(', ')}`);
const plagues: Plague[] = [...sitePlagues, ...isolatePlagues];

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

function print(...columns: (string | number)[]): void {
  const [first, ...others] = columns.map(String);
  process.stdout.write(`${first!.padEnd(18)}${others.map((each) => each.padStart(18)).join('')}\n`);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** True where the neighbour did not notice. */
async function measure(plague: Plague, isolation: Isolation): Promise<boolean> {
  await using neighbourhood = await Neighbourhood.create(isolation);
  await pause(warmUpMs);
  neighbourhood.take();
  await pause(windowMs);
  const before = neighbourhood.take();
  await neighbourhood.breakOut(plague);
  await pause(windowMs);
  const during = neighbourhood.take();
  const { silos } = await neighbourhood.status();
  const noisy = silos.find(({ name }) => name === noisySilo)!;
  const quiet = silos.find(({ name }) => name === quietSilo)!;
  const [was, is] = [percentile(before.latenciesMs, 0.99), percentile(during.latenciesMs, 0.99)];
  const lost = before.lost + during.lost;
  print(plague, during.samples, lost, was, is, (is / was).toFixed(2), `${noisy.restarts} / ${noisy.state}`);
  return lost === 0 && is / was <= ratioMax && quiet.restarts === 0;
}

const chosen = plagues.filter((plague) => settings.plague === undefined || plague === settings.plague);
if (chosen.length === 0) throw new Error(`no such plague; there are ${plagues.join(', ')}`);
print('plague', 'samples', 'lost', 'p99 before', 'p99 during', 'ratio', 'noisy silo');
let unnoticed = true;
for (const plague of chosen) unnoticed = (await measure(plague, isolation)) && unnoticed;
process.exitCode = unnoticed ? 0 : 1;
