import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { createAuthority } from '../../src/simulator/certificates.ts';
import { packetType, parsePublish, ScriptedBroker } from '../support/scripted-broker.ts';
import { until } from '../support/until.ts';
import { gatewayRequest, Rig } from './rig.ts';

/** Pauses before a new attempt, all shorter than half a minute, pass at once; the deadlines of an attempt do not. */
const impatient: Clock = {
  ...systemClock,
  after: (delayMs, callback) => systemClock.after(delayMs < 30_000 ? 0 : delayMs, callback),
};

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

it('holds its memory flat over 2,000 sessions that fail in every way', async () => {
  const warnings: string[] = [];
  const note = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', note);
  const authority = await createAuthority('Test CA');
  const folder = await mkdtemp(join(tmpdir(), 'reconnects-'));
  const ca = join(folder, 'ca.crt');
  await writeFile(ca, authority.certificatePem);
  let connects = 0;
  await using broker = await ScriptedBroker.start(authority, (packet, peer) => {
    if (packet.type === packetType.connect) {
      connects += 1;
      if (connects % 4 === 0) peer.hangUp();
      else peer.send([0x20, 3, 0, connects % 4 === 1 ? 0x88 : 0, 0]);
    } else if (packet.type === packetType.publish) {
      const { topic, packetId } = parsePublish(packet);
      if (topic.endsWith('/status')) peer.send([0x40, 2, ...packetId]);
      else peer.hangUp();
    }
  });
  await using rig = new Rig({ url: broker.url, ca }, await authority.issue(gatewayRequest), impatient);
  let unsettled = 0;
  const stop = new AbortController();
  const publisher = (async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const outcomes = await Promise.all(Array.from({ length: 5 }, () => rig.batch('x'.repeat(10_000))));
      unsettled += outcomes.filter(({ kind }) => kind === 'unsettled').length;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  await until(() => connects >= 300, '300 sessions', 60_000);
  const before = heapBytes();
  rig.log.length = 0;
  rig.limits.length = 0;
  await until(() => connects >= 2000, '2,000 sessions', 120_000);
  rig.log.length = 0;
  rig.limits.length = 0;
  const grownBytes = heapBytes() - before;
  stop.abort();
  await publisher;
  await rig.uplink.stop(2000);
  process.off('warning', note);
  await rm(folder, { recursive: true });
  // A leak of one 10 kB payload, or one TLS context, in a session would be 17 MB or more.
  assert.ok(grownBytes < 2_000_000, `the heap has grown by ${grownBytes} bytes`);
  assert.ok(unsettled > 3000, `${unsettled} publishes were cut off`);
  assert.deepEqual(warnings, []);
});
