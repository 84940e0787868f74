/**
 * What a hostile tenant costs the others of a shared backend: `merestone consume` behind a real Mosquitto, one tenant
 * whose batches flow, and one that sends a million messages in the right format with hostile content.
 *
 *   node scripts/soak-backend.ts [--messages 1000000] [--rounds 20] [--minutes 120] [--bytes-max 1000000]
 *     [--per-turn 4] [--seed N]
 *
 * Sends `--per-turn` times 50 a second, so that a million take 84 minutes; ends after the round in which the minutes
 * are over. Most of these are set aside or dropped, because refused messages get a fiftieth of the consumer's time;
 * `soak-consumer.ts` sends no more than it takes.
 *
 * Prints for each round the honest tenant's latency from publish to row, losses, and the consumer's
 * memory. Exits with 1 where a batch was lost, the consumer ended, the 99th percentile of all rounds' median is more
 * than twice what it was without the other and more than 10 ms, or memory grew from the first half to the second.
 */
import { parseArgs } from 'node:util';
import { formatBytes } from '../src/base/quantity.ts';
import { type Measured, SharedBackend } from '../test/support/shared-backend.ts';

const { values: settings } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '20' },
    minutes: { type: 'string', default: '120' },
    'bytes-max': { type: 'string', default: '1000000' },
    'per-turn': { type: 'string', default: '4' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const rounds = Number(settings.rounds);
const endsAt = Date.now() + Number(settings.minutes) * 60_000;
const perRound = Math.ceil(Number(settings.messages) / rounds);
const everyMs = 20;
const ratioMax = 2;
/** Below this the machine's own noise dominates. */
const noiseMs = 10;
const growthMax = 1.25;
const roundMs = 3_600_000;

function print(...columns: (string | number)[]): void {
  process.stdout.write(`${columns.map((each) => String(each).padStart(12)).join('')}\n`);
}

function line(name: string, { p50, p99, max, lost, batches }: Measured, bytes: number): void {
  print(name, batches, lost, ...[p50, p99, max].map((ms) => `${ms.toFixed(1)} ms`), formatBytes(bytes));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

process.stdout.write(`seed ${settings.seed}\n`);
print('', 'batches', 'lost', 'p50', 'p99', 'max', 'memory');
await using shared = await SharedBackend.start(Number(settings.seed), Number(settings['bytes-max']));
await shared.measure(3000, everyMs, 0);
const quiet = await shared.measure(15_000, everyMs, 0);
line('without', quiet, shared.takeResident());
const loud: Measured[] = [];
const memory: number[] = [];
for (let round = 1; round <= rounds && shared.exitCode === undefined && Date.now() < endsAt; round++) {
  loud.push(await shared.measure(roundMs, everyMs, Number(settings['per-turn']), perRound));
  memory.push(shared.takeResident());
  line(`round ${round}`, loud.at(-1)!, memory.at(-1)!);
}
const lost = quiet.lost + loud.reduce((sum, each) => sum + each.lost, 0);
const p99 = median(loud.map((each) => each.p99));
const ratio = p99 / quiet.p99;
const half = Math.ceil(memory.length / 2);
const growth = Math.max(...memory.slice(half), 0) / Math.max(...memory.slice(0, half));
process.stdout.write(
  `${shared.sentHostile} hostile messages; lost ${lost}; p99 ${ratio.toFixed(2)} times; memory ${growth.toFixed(2)} times\n`,
);
if (shared.exitCode !== undefined || lost > 0 || (ratio > ratioMax && p99 > noiseMs) || growth > growthMax)
  process.exitCode = 1;
