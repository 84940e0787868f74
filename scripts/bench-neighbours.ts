/**
 * What a noisy neighbour costs: two tenants on one gateway, and what a fault of one does to the other.
 *
 *   node scripts/bench-neighbours.ts [--seconds 15] [--fault flood] [--isolation process]
 *
 * For each fault the quiet tenant is measured first without it and then with it, in one run of the gateway. Prints
 * the quiet tenant's lost samples (its units count their requests, so a lost one shows) and the latency from answer
 * to backend, and its samples a second from a serial line that both share. Exits with 1 where a sample is lost, the
 * 99th percentile is more than 1.5 times what it was, or the shared line brings less than three quarters.
 *
 * Then what a sensor of the noisy tenant can do to the quiet one's on a shared SDI-12 line, on a simulated clock:
 * twenty minutes for each way to measure, with the quiet sensor read every 5 s. Exits with 1 where it has less than
 * half.
 */
import { parseArgs } from 'node:util';
import {
  isolateFaults,
  Neighbourhood,
  noisySilo,
  type Fault,
  quietSilo,
  siteFaults,
} from '../test/support/neighbours.ts';
import { sdi12, type Sdi12Sensor, simulateSdi12 } from '../test/support/sdi-12-line.ts';
import type { Isolation } from '../src/status/status.ts';
import { isolations } from '../test/support/site.ts';

const ratioMax = 1.5;
const lineRatioMin = 0.75;
/** Compiling and connecting are over. */
const warmUpMs = 4000;

const { values: settings } = parseArgs({
  options: {
    seconds: { type: 'string', default: '15' },
    fault: { type: 'string' },
    isolation: { type: 'string', default: 'thread' },
  },
});
const windowMs = Number(settings.seconds) * 1000;
const isolation = isolations.find((each) => each === settings.isolation);
if (isolation === undefined) throw new Error(`no such isolation; there are ${isolations.join(', ')}`);
const faults: Fault[] = [...siteFaults, ...isolateFaults];

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

function print(...columns: (string | number)[]): void {
  const [first, ...others] = columns.map(String);
  process.stdout.write(`${first!.padEnd(20)}${others.map((each) => each.padStart(15)).join('')}\n`);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** True if the neighbour was not disturbed. */
async function measure(fault: Fault, isolation: Isolation): Promise<boolean> {
  await using neighbourhood = await Neighbourhood.create(isolation);
  await pause(warmUpMs);
  neighbourhood.take();
  await pause(windowMs);
  const before = neighbourhood.take();
  await neighbourhood.inject(fault);
  await pause(windowMs);
  const during = neighbourhood.take();
  const { silos } = await neighbourhood.status();
  const noisy = silos.find(({ name }) => name === noisySilo)!;
  const quiet = silos.find(({ name }) => name === quietSilo)!;
  const [was, is] = [percentile(before.latenciesMs, 0.99), percentile(during.latenciesMs, 0.99)];
  const lost = before.lost + during.lost;
  const lineRatio = during.lineSamples / before.lineSamples;
  const numbers = [during.samples, lost, was, is, (is / was).toFixed(2), lineRatio.toFixed(2)];
  print(fault, ...numbers, `${noisy.restarts} / ${noisy.state}`);
  return lost === 0 && is / was <= ratioMax && lineRatio >= lineRatioMin && quiet.restarts === 0;
}

/** Ways of a sensor to measure, by what it announces and takes, and whether its adapter makes breaks. */
const measurements: { what: string; sensor: Sdi12Sensor; measure: 'M' | 'C'; everyMs: number }[] = [
  { what: 'none', sensor: timed(0, 0), measure: 'M', everyMs: 60_000 },
  { what: '999 s, for ever', sensor: timed(999, Infinity), measure: 'M', everyMs: 1000 },
  { what: '60 s, for nothing', sensor: timed(60, Infinity), measure: 'M', everyMs: 1000 },
  { what: '30 s, aC!', sensor: timed(30, 30), measure: 'C', everyMs: 60_000 },
  { what: '30 s, aM!', sensor: timed(30, 30), measure: 'M', everyMs: 60_000 },
];

function timed(seconds: number, takesSeconds: number): Sdi12Sensor {
  return { seconds, takesSeconds, values: '+9.9' };
}

/** Twenty simulated minutes; gives the share of its readings that the quiet tenant's sensor has. */
async function measureLine({
  what,
  sensor,
  measure,
  everyMs,
}: (typeof measurements)[number]): Promise<number> {
  const quietEveryMs = 5000;
  const minutes = 20;
  const { clock, valuesOf, widestGapMs, end } = simulateSdi12(sensor, [
    sdi12('0', everyMs, { measure }),
    sdi12('1', quietEveryMs, { silo: 'south' }),
  ]);
  await clock.advanceAsync(minutes * 60_000);
  const quiet = valuesOf('sensor-1').length;
  const ratio = quiet / ((minutes * 60_000) / quietEveryMs);
  print(
    what,
    valuesOf('sensor-0').length,
    quiet,
    ratio.toFixed(2),
    `${(widestGapMs('sensor-1') / 1000).toFixed(1)} s`,
  );
  await end();
  return ratio;
}

const chosen = faults.filter((fault) => settings.fault === undefined || fault === settings.fault);
if (chosen.length === 0) throw new Error(`no such fault; there are ${faults.join(', ')}`);
print('fault', 'samples', 'lost', 'p99 before', 'p99 during', 'ratio', 'line ratio', 'noisy silo');
let unnoticed = true;
for (const fault of chosen) unnoticed = (await measure(fault, isolation)) && unnoticed;
process.stdout.write('\n');
print('sensor measures', 'its readings', 'quiet readings', 'ratio', 'widest gap');
for (const each of measurements) unnoticed = (await measureLine(each)) >= 0.5 && unnoticed;
process.exitCode = unnoticed ? 0 : 1;
