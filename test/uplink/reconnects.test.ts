import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
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

it('holds its memory flat over 2,000 attempts that fail in every way', async () => {
  const warnings: string[] = [];
  const note = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', note);
  const authority = await createAuthority('Test CA');
  const folder = await mkdtemp(join(tmpdir(), 'reconnects-'));
  const ca = join(folder, 'ca.crt');
  await writeFile(ca, authority.certificatePem);
  let attempts = 0;
  await using broker = await ScriptedBroker.start(authority, (packet, peer) => {
    if (packet.type === packetType.connect) {
      const welcome = attempts % 16;
      if (welcome === 0) peer.hangUp();
      else peer.send([0x20, 3, 0, welcome === 4 ? 0x88 : 0, 0]);
    } else if (packet.type === packetType.publish) {
      const { topic, packetId } = parsePublish(packet);
      if (topic.endsWith('/status')) peer.send([0x40, 2, ...packetId]);
      else peer.hangUp();
    }
  });
  // Three of four end before TLS, which costs the test most of its time.
  broker.accept = () => {
    attempts += 1;
    return attempts % 4 === 0;
  };
  await using rig = new Rig({ url: broker.url, ca }, await authority.issue(gatewayRequest), impatient);
  let unsettled = 0;
  const stop = new AbortController();
  const publisher = (async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const outcomes = await Promise.all(Array.from({ length: 5 }, () => rig.batch('x'.repeat(10_000))));
      unsettled += outcomes.filter(
        (outcome) => outcome.kind === 'unsettled' && outcome.outstanding > 0,
      ).length;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  await until(() => attempts >= 400, '400 attempts', 60_000);
  const before = heapBytes();
  rig.log.length = 0;
  rig.limits.length = 0;
  await until(() => attempts >= 2400, '2,000 more', 120_000);
  rig.log.length = 0;
  rig.limits.length = 0;
  const grownBytes = heapBytes() - before;
  stop.abort();
  await publisher;
  await rig.uplink.stop(2000);
  process.off('warning', note);
  await rm(folder, { recursive: true });
  // A socket or a timer kept from each attempt, or a payload from each session, would be several megabytes.
  assert.ok(grownBytes < 2_000_000, `the heap has grown by ${grownBytes} bytes`);
  assert.ok(unsettled > 1000, `${unsettled} publishes were cut off`);
  assert.deepEqual(warnings, []);
});
