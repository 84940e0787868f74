/**
 * The consumer under a flow of nonsense that it has the time to take in full: each message is parsed, refused or
 * written, none is dropped. It runs in this process, and messages come at times of its own CPU clock, so that what
 * else runs on the machine changes no figure and waiting costs nothing.
 *
 *   node scripts/soak-consumer.ts [--messages 1000000] [--minutes 60] [--bytes-max 50000] [--per-batch 4] [--seed N]
 *
 * Rounds with the hostile tenant alternate with rounds of a second consumer without it. Prints the honest tenant's
 * latency in both, losses, and the memory of all; ends after the given minutes, with the results by then.
 * Exits with 1 where a batch was lost, the 99th percentile is more than twice what it was without and more than 10 ms,
 * or memory grew from the second quarter to the last.
 */
import { parseArgs } from 'node:util';
import { formatBytes } from '../src/base/quantity.ts';
import { SimulatedArrival } from '../test/support/simulated-arrival.ts';

const { values: settings } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    minutes: { type: 'string', default: '60' },
    'bytes-max': { type: 'string', default: '50000' },
    'per-batch': { type: 'string', default: '4' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const messages = Number(settings.messages);
const endsAt = Date.now() + Number(settings.minutes) * 60_000;
/** Forty hostile messages a second. */
const everyMs = 100;
const batches = 100;
const loudRounds = 20;
const ratioMax = 2;
const noiseMs = 10;
const growthMax = 1.25;

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * 0.99)] ?? NaN;
}

function print(...columns: (string | number)[]): void {
  process.stdout.write(`${columns.map((each) => String(each).padStart(12)).join('')}\n`);
}

const [seed, bytesMax] = [Number(settings.seed), Number(settings['bytes-max'])];
await using quiet = await SimulatedArrival.start(seed, bytesMax);
await using loud = await SimulatedArrival.start(seed, bytesMax);
for (let round = 0; round < 5; round++) await quiet.run({ batches, everyMs, hostilePerBatch: 0 });
process.stdout.write(`seed ${seed}\n`);
print('messages', 'refused', 'let go', 'lost', 'p99 without', 'p99', 'memory');
const without: number[] = [];
const during: number[] = [];
const memory: number[] = [];
let lost = 0;
while (loud.sentHostile < messages && Date.now() < endsAt) {
  const [before, now] = [[] as number[], [] as number[]];
  for (let round = 0; round < loudRounds; round++) {
    if (round % 4 === 0) before.push(...(await quiet.run({ batches, everyMs, hostilePerBatch: 0 })));
    now.push(...(await loud.run({ batches, everyMs, hostilePerBatch: Number(settings['per-batch']) })));
  }
  lost += loudRounds * batches - now.length;
  without.push(p99(before));
  during.push(p99(now));
  memory.push(process.memoryUsage().rss);
  const { refused, overrun } = loud.consumer.counts;
  const ms = [without.at(-1)!, during.at(-1)!].map((each) => `${each.toFixed(2)} ms`);
  print(loud.sentHostile, refused, overrun, lost, ...ms, formatBytes(memory.at(-1)!));
}
const [was, is] = [without, during].map(
  (each) => each.toSorted((a, b) => a - b)[Math.floor(each.length / 2)]!,
);
const quarter = Math.ceil(memory.length / 4);
const growth = Math.max(...memory.slice(-quarter)) / Math.max(...memory.slice(quarter, 2 * quarter));
process.stdout.write(
  `${loud.sentHostile} hostile messages; lost ${lost}; p99 ${(is! / was!).toFixed(2)} times (medians); memory ${growth.toFixed(2)} times\n`,
);
if (lost > 0 || (is! > ratioMax * was! && is! > noiseMs) || growth > growthMax) process.exitCode = 1;
