import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { connectAsync } from 'mqtt';
import { createAuthority } from '../../../../src/simulator/certificate-authority.ts';
import { packetBytes } from '../../../../src/uplink/mqtt-message.ts';
import { LeapingClock } from '../../../support/leaping-clock.ts';
import { LiveSilo } from '../../../support/live-silo.ts';
import { Mosquitto } from '../../../support/mosquitto.ts';
import type { SiloChanges } from '../../../support/silo-options.ts';
import { Site } from '../../../support/site.ts';
import { until } from '../../../support/until.ts';

const minutes = 90;
const pointsOfMeter = 12;

describe('the bytes of checkpoints at one poll a minute', () => {
  let broker: Mosquitto;
  let site: Site;

  before(async () => {
    const authority = await createAuthority('Test CA');
    broker = await Mosquitto.start({ authority });
    site = await Site.create(authority);
    await site.issueGateway('north', 'acme');
    await site.issueBackend();
  });
  after(async () => {
    await site[Symbol.asyncDispose]();
    await broker.close();
  });

  /** Bytes of PUBLISH packets by topic, and how many, over `minutes` of one sample each. */
  async function measure(changes: SiloChanges): Promise<Record<string, { bytes: number; count: number }>> {
    const heard: Record<string, { bytes: number; count: number }> = {};
    const listener = await connectAsync(broker.url, {
      protocolVersion: 5,
      clientId: 'backend',
      ca: readFileSync(site.path('ca.crt')),
      cert: readFileSync(site.path('backend.crt')),
      key: readFileSync(site.path('backend.key')),
    });
    listener.on('message', (topic, payload, { properties, retain }) => {
      if (retain) return;
      const channel = (heard[topic.split('/').at(-1)!] ??= { bytes: 0, count: 0 });
      channel.bytes += packetBytes({ topic, payload, properties: properties as Record<string, never> });
      channel.count += 1;
    });
    try {
      await listener.subscribeAsync('t/#', { qos: 1 });
      const clock = new LeapingClock(1);
      const folder = await mkdtemp(join(site.folder, 'silo-'));
      await using live = await LiveSilo.start(site.folder, clock, {
        ...changes,
        uplink: { url: broker.url, keepaliveSeconds: 3600, ...changes.uplink },
        spool: { directory: folder },
      });
      await live.reached(({ uplink }) => uplink?.state === 'online', 'a session');
      for (let minute = 1; minute <= minutes; minute += 1) {
        await live.feed(pointsOfMeter);
        clock.leap(1000);
        await until(() => heard['telemetry']?.count === minute, `batch ${minute}`);
        clock.leap(59_000);
      }
    } finally {
      await listener.endAsync(true);
    }
    return heard;
  }

  it('are a tenth of the batches’ bytes by default, and more if configured', async (t) => {
    for (const compression of ['none', 'zstd'] as const) {
      const { telemetry, checkpoint } = await measure({ uplink: { compression } });
      const everyMinute = await measure({
        uplink: { compression },
        checkpoint: { everyMs: 60_000, shareMax: 0.1 },
      });
      const share = checkpoint!.bytes / telemetry!.bytes;
      const shareBefore = everyMinute['checkpoint']!.bytes / everyMinute['telemetry']!.bytes;
      const each = Math.round(checkpoint!.bytes / checkpoint!.count);
      t.diagnostic(
        `${compression}: batch ${Math.round(telemetry!.bytes / minutes)} B, checkpoint ${each} B, ` +
          `${Math.round(share * 100)} % of the batches' bytes; every minute ${Math.round(shareBefore * 100)} %`,
      );
      assert.ok(everyMinute['checkpoint']!.count >= minutes - 2, `${everyMinute['checkpoint']!.count}`);
      // The first head is signed at once, which counts for little in a day and for more in a test.
      const proportional = checkpoint!.bytes - each;
      const hourly = Math.ceil(minutes / 60) * each;
      assert.ok(proportional <= Math.max(telemetry!.bytes * 0.1 + each, hourly), `${checkpoint!.bytes}`);
      assert.ok(checkpoint!.count >= 2, 'not once an hour');
    }
  });
});
