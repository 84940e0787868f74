// A process that uses a spool as fast as it can and prints what it did, until it is killed:
// `S epoch seq sha256` when a batch is stored, `A epoch seq` when one was acknowledged.
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { encodeBatch } from '../../src/messages/telemetry.ts';
import { openTestSpool, testSample } from './spool.ts';

const [directory, seed = '1'] = process.argv.slice(2);
const spool = await openTestSpool(directory!, { bytesMax: 4_000_000 });
const say = (line: string): number => writeSync(1, `${line}\n`);

for (let turn = Number(seed); ; turn += 1) {
  const samples = [testSample(turn, (turn % 5) * 1500), testSample(turn + 1)];
  const key = spool.enqueue(samples)!;
  const payload = encodeBatch(
    key,
    samples.map(({ json }) => json),
  );
  say(`S ${key.epoch} ${key.seq} ${createHash('sha256').update(payload).digest('hex')}`);
  if (turn % 7 === 0) spool.note({ kind: 'quota', quota: `${turn}`, limit: 1, state: 'reached' });
  if (turn % 11 === 0) await spool.rotateKey();
  if (turn % 3 > 0) continue;
  const [kept, ...acked] = spool.lease(3, turn % 2 === 0 ? 'fifo' : 'live-first').map((batch) => batch.key);
  spool.settle({ acked, released: kept === undefined ? [] : [kept] });
  for (const { epoch, seq } of acked) say(`A ${epoch} ${seq}`);
}
