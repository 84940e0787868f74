import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { createAuthority } from '../../../../src/simulator/certificate-authority.ts';
import { Mosquitto } from '../../../support/mosquitto.ts';
import { nextNoon, siloStartMessage } from '../../../support/silo-options.ts';
import { KillableSilo } from '../../../support/killable-silo.ts';
import { Site } from '../../../support/site.ts';
import { acme } from '../../../support/spool.ts';
import { Subscriber } from '../../../support/subscriber.ts';
import { until } from '../../../support/until.ts';

const name = 'uplink-bytes-per-day';
const dailyBytesMax = 400_000;
/** What a kill may make the count forget: docs/configuration.md. */
const forgottenMax = dailyBytesMax / 100;
/** JSON of one batch of the test, and of its packet. */
const batchBytes = 4000;
const dayMs = 86_400_000;

const noise = (): Record<string, string> => ({ noise: randomBytes(2700).toString('base64') });

/** A broker, a listener, and silos that share one spool, one after the other. */
async function setUp(t: TestContext) {
  const authority = await createAuthority('Test CA');
  const broker = await Mosquitto.start({ authority });
  t.after(() => broker.close());
  const site = await Site.create(authority);
  t.after(() => site[Symbol.asyncDispose]());
  await site.issueGateway('north', acme.tenant);
  await site.issueBackend();
  const heard = await Subscriber.open(site, broker.url);
  site.cleanUp(() => heard.close());
  const startMessage = siloStartMessage(site.folder, {
    uplink: { url: broker.url, noSubscribers: 'keep' },
    // A batch for each sample.
    batch: { lingerMs: 50, samplesMax: 1, bytesMax: 120_000 },
    quota: { uplinkBytesPerDay: dailyBytesMax },
  });
  const start = async (wallMs: number): Promise<KillableSilo> => {
    const silo = new KillableSilo(startMessage, wallMs);
    site.cleanUp(() => silo.kill());
    await silo.shows('online', ({ uplink }) => uplink?.state === 'online');
    return silo;
  };
  return { broker, heard, start };
}

describe('bytes sent a day', () => {
  it('are counted over kills and stops: no run gets a fresh quota', async (t) => {
    const { heard, start } = await setUp(t);
    const noon = nextNoon();
    let usedBefore = 0;
    for (let life = 0; life < 3; life += 1) {
      const silo = await start(noon);
      assert.ok(silo.quota(name)!.used >= usedBefore - forgottenMax, 'the count was forgotten');
      const stored = silo.status!.spool!.seq;
      silo.feed(20, noise());
      const { quotas, uplink } = await silo.shows('twenty batches sent', ({ spool, samples }) => {
        return spool!.seq === stored + 20 && samples.published >= 20;
      });
      usedBefore = quotas.find(({ quota }) => quota === name)!.used;
      assert.ok(usedBefore >= 20 * batchBytes * 0.9 * (life + 1), `${usedBefore} in life ${life}`);
      if (life === 0) {
        const share = usedBefore / uplink!.bytesSent;
        assert.ok(share > 0.9 && share < 1.05, `${share} of what MQTT sent is counted`);
      }
      await (life === 1 ? silo.stop() : silo.kill());
    }

    let silo = await start(noon);
    // Not all at once: batches that overflow the live lease are backlog, and wait sooner.
    for (let round = 0; silo.quota(name)!.state === 'clear'; round += 1) {
      assert.ok(round < 20, 'the quota does not end');
      const { published } = silo.status!.samples;
      silo.feed(15, noise());
      await silo.shows('sent, or at the limit', ({ samples, quotas }) => {
        const isAtLimit = quotas.some(({ quota, state }) => quota === name && state === 'reached');
        return samples.published >= published + 15 || isAtLimit;
      });
    }
    const atLimit = silo.quota(name)!;
    assert.equal(atLimit.limit, dailyBytesMax);
    assert.ok(
      atLimit.used >= dailyBytesMax && atLimit.used < dailyBytesMax + 3 * batchBytes,
      `${atLimit.used}`,
    );
    await until(() => heard.events.some(({ kind }) => kind === 'quota'), 'the event, though the day is over');
    const told = heard.events.find((event) => event.kind === 'quota');
    assert.partialDeepStrictEqual(told, { quota: name, limit: dailyBytesMax, state: 'reached' });
    assert.ok(
      heard.bytes <= dailyBytesMax + 4 * (forgottenMax + batchBytes) + 20_000,
      `${heard.bytes} bytes reached the broker`,
    );
    await silo.kill();

    silo = await start(noon);
    await silo.shows('still at the limit', ({ quotas }) => quotas.some(({ state }) => state === 'reached'));
    const sent = heard.batches.length;
    silo.feed(5, noise());
    const { spool } = await silo.shows('they wait on disk', ({ samples }) => samples.stored >= 5);
    assert.ok(spool!.batches >= 5);
    assert.equal(heard.batches.length, sent, 'a batch was sent after the quota was used up');
    await silo.kill();

    silo = await start(noon + dayMs);
    await silo.shows('an empty spool on the next day', ({ spool }) => spool?.batches === 0);
    const seqs = new Set(heard.batches.map(({ seq }) => seq));
    const { seq } = silo.status!.spool!;
    assert.deepEqual([seqs.size, Math.max(...seqs)], [seq, seq]);
    await silo.stop();
  });

  it('leave half of the quota to live batches, with any backlog', async (t) => {
    const { broker, heard, start } = await setUp(t);
    const night = nextNoon() - dayMs / 2 + 600_000;
    let silo = await start(night);
    await broker.stop();
    await silo.shows('offline', ({ uplink }) => uplink?.state !== 'online');
    silo.feed(120, noise());
    await silo.shows('a backlog', ({ spool }) => spool!.batches === 120);
    await silo.kill();
    await broker.start();

    silo = await start(night);
    await silo.shows('half of the day is used', () => silo.quota(name)!.used >= dailyBytesMax / 2);
    const used = silo.quota(name)!.used;
    assert.ok(used < dailyBytesMax / 2 + 3 * batchBytes, `${used} of ${dailyBytesMax}`);
    await silo.shows('nothing in flight', ({ uplink }) => uplink?.inflight === 0);
    const backlog = silo.status!.spool!.batches;
    assert.ok(backlog > 60, `${backlog} batches of the backlog are left`);

    silo.feed(10, noise());
    await until(
      () =>
        [121, 122, 123, 124, 125, 126, 127, 128, 129, 130].every((seq) =>
          heard.batches.some((batch) => batch.seq === seq),
        ),
      'the live batches have passed the backlog',
    );
    const { spool } = await silo.shows('and left', ({ spool }) => spool!.batches <= backlog);
    assert.equal(spool!.batches, backlog);
    assert.equal(silo.quota(name)!.state, 'clear');
    await silo.stop();
  });
});
