import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../../../src/base/logger.ts';
import { Forwarder, type ForwarderDependencies } from '../../../../src/silo/tenant/forward/forwarder.ts';
import { JsonEncoder } from '../../../../src/uplink/encoders/json-encoder.ts';
import type { Reach } from '../../../../src/spool/spool.ts';
import type { OutgoingBatch } from '../../../../src/uplink/encoders/encoder.ts';
import type { UplinkOptions } from '../../../../src/uplink/options.ts';
import type { PublishOutcome, PublishRequest, Uplink } from '../../../../src/uplink/uplink.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { acme, openTestSpool, testSample } from '../../../support/spool.ts';
import { temporaryDirectory } from '../../../support/temporary-directory.ts';

const options: UplinkOptions = {
  url: 'mqtts://broker:8883',
  ca: '',
  protocol: '5',
  encoding: 'json',
  compression: 'none',
  noSubscribers: 'keep',
  order: 'live-first',
  inflightMax: 100,
  keepaliveSeconds: 30,
};

const encoder = new JsonEncoder(acme, options);

/** An uplink whose broker answers as the test says, at once. */
function answering(answer: (seq: number) => PublishOutcome): { uplink: Uplink; sent: number[] } {
  const sent: number[] = [];
  const publish = async ({ userProperties }: PublishRequest): Promise<PublishOutcome> => {
    const seq = Number(userProperties?.['seq']);
    sent.push(seq);
    return answer(seq);
  };
  return { uplink: { publish, ready: true } as unknown as Uplink, sent };
}

/** Everything is allowed, and nobody asks what was delivered, unless the test says so. */
function newForwarder(
  dependencies: Partial<ForwarderDependencies> & Pick<ForwarderDependencies, 'clock' | 'spool' | 'uplink'>,
): Forwarder {
  return new Forwarder({
    logger: silentLogger,
    encoder,
    options,
    reach: () => 'all',
    delivered: () => {},
    ...dependencies,
  });
}

describe('forwarder', () => {
  it('empties the spool, limits the backlog to its rate, and sends live batches at once', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 40; ts += 1) spool.enqueue([testSample(ts, 1000)]);
    const { uplink, sent } = answering(() => ({ kind: 'accepted' }));
    const forwarder = newForwarder({
      clock,
      spool,
      uplink,
      options: { ...options, backlogBytesPerSecond: 1000 },
    });
    forwarder.sessionReady(100);
    await clock.advanceAsync(3000);
    const backlogSent = sent.length;
    assert.ok(backlogSent >= 2 && backlogSent <= 12, `${backlogSent} in three seconds`);
    const live = spool.enqueue([testSample(41, 1000)])!;
    forwarder.pump();
    await clock.advanceAsync(100);
    assert.ok(sent.includes(live.seq), 'the live batch waits behind the backlog');
    await clock.advanceAsync(120_000);
    assert.equal(spool.status().batches, 0);
    assert.deepEqual(
      [...new Set(sent)].sort((a, b) => a - b),
      Array.from({ length: 41 }, (_, index) => index + 1),
    );
    forwarder.close();
  });

  it('quarantines the one batch that is refused while others pass, and delivers the others', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 3; ts += 1) spool.enqueue([testSample(ts, 10)]);
    const refusal: PublishOutcome = { kind: 'refused', reasonCode: 0x97, reason: 'quota exceeded' };
    const { uplink } = answering((seq) => (seq === 2 ? refusal : { kind: 'accepted' }));
    const forwarder = newForwarder({ clock, spool, uplink });
    forwarder.sessionReady(100);
    for (let round = 0; round < 40; round += 1) {
      await clock.advanceAsync(10_000);
      spool.enqueue([testSample(100 + round, 10)]);
      forwarder.pump();
    }
    await clock.advanceAsync(120_000);
    assert.equal(spool.status().batches, 0);
    assert.equal(spool.status().quarantined, 1);
    forwarder.close();
  });

  it('sends only what the quotas allow: live batches, nothing, and later everything', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 5; ts += 1) spool.enqueue([testSample(ts)]);
    let reach: Reach | 'none' = 'live';
    const { uplink, sent } = answering(() => ({ kind: 'accepted' }));
    const forwarder = newForwarder({ clock, spool, uplink, reach: () => reach });
    forwarder.sessionReady(100);
    await clock.advanceAsync(10_000);
    assert.deepEqual(sent, []);
    spool.enqueue([testSample(6)]);
    forwarder.pump();
    await clock.advanceAsync(10_000);
    assert.deepEqual(sent, [6]);
    reach = 'none';
    spool.enqueue([testSample(7)]);
    forwarder.pump();
    await clock.advanceAsync(10_000);
    assert.deepEqual(sent, [6]);
    reach = 'all';
    await clock.advanceAsync(2000);
    assert.deepEqual(sent, [6, 7, 1, 2, 3, 4, 5]);
    forwarder.close();
  });

  it('stops after the batch that uses up the quota, even within the window', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 50; ts += 1) spool.enqueue([testSample(ts)]);
    const { uplink, sent } = answering(() => ({ kind: 'accepted' }));
    const reach = (): Reach | 'none' => (sent.length < 3 ? 'all' : sent.length < 5 ? 'live' : 'none');
    const forwarder = newForwarder({ clock, spool, uplink, reach });
    forwarder.sessionReady(100);
    await clock.advanceAsync(5000);
    assert.deepEqual(sent, [1, 2, 3]);
    for (let ts = 51; ts <= 60; ts += 1) spool.enqueue([testSample(ts)]);
    forwarder.pump();
    await clock.advanceAsync(5000);
    assert.deepEqual(sent, [1, 2, 3, 51, 52]);
    assert.equal(spool.status().batches, 55);
    forwarder.close();
  });

  it('keeps the order under fifo: nothing overtakes a backlog that has to wait', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    spool.enqueue([testSample(1)]);
    let reach: Reach = 'live';
    const { uplink, sent } = answering(() => ({ kind: 'accepted' }));
    const fifo: UplinkOptions = { ...options, order: 'fifo' };
    const forwarder = newForwarder({ clock, spool, uplink, options: fifo, reach: () => reach });
    forwarder.sessionReady(100);
    spool.enqueue([testSample(2)]);
    await clock.advanceAsync(5000);
    assert.deepEqual(sent, []);
    reach = 'all';
    await clock.advanceAsync(2000);
    assert.deepEqual(sent, [1, 2]);
    forwarder.close();
  });

  for (const order of ['fifo', 'live-first'] as const) {
    it(`keeps the order if the quotas’ answer changes twice within one pass, ${order}`, async (t) => {
      const clock = new FakeClock();
      const spool = await openTestSpool(temporaryDirectory(t));
      t.after(() => spool.close());
      for (let ts = 1; ts <= 4; ts += 1) spool.enqueue([testSample(ts)]);
      const answers: Reach[] = ['all', 'all', 'live'];
      const { uplink, sent } = answering(() => ({ kind: 'accepted' }));
      const reach = (): Reach => answers.shift() ?? 'all';
      const forwarder = newForwarder({ clock, spool, uplink, options: { ...options, order }, reach });
      forwarder.sessionReady(100);
      await clock.advanceAsync(5000);
      assert.deepEqual(sent, [1, 2, 3, 4]);
      forwarder.close();
    });
  }

  it('asks again if the quotas’ answer changed back within a pass that blocked batches', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 4; ts += 1) spool.enqueue([testSample(ts)]);
    // The whole pass is blocked, and after it the quotas' answer is the same as before.
    const answers: Reach[] = ['all', 'live', 'live', 'live', 'live', 'all'];
    const { uplink, sent } = answering(() => ({ kind: 'accepted' }));
    const reach = (): Reach => answers.shift() ?? 'all';
    const forwarder = newForwarder({ clock, spool, uplink, reach });
    forwarder.sessionReady(100);
    await clock.advanceAsync(10_000);
    assert.deepEqual(sent, [1, 2, 3, 4]);
    forwarder.close();
  });

  it('lets no live batch overtake a backlog that waits for its rate, under fifo', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 10; ts += 1) spool.enqueue([testSample(ts, 1000)]);
    const { uplink, sent } = answering(() => ({ kind: 'accepted' }));
    const forwarder = newForwarder({
      clock,
      spool,
      uplink,
      options: { ...options, order: 'fifo', backlogBytesPerSecond: 1000 },
    });
    forwarder.sessionReady(100);
    for (let ts = 11; ts <= 13; ts += 1) spool.enqueue([testSample(ts, 1000)]);
    forwarder.pump();
    await clock.advanceAsync(120_000);
    assert.deepEqual(
      sent,
      Array.from({ length: 13 }, (_, index) => index + 1),
    );
    forwarder.close();
  });

  it('lets other batches pass those that are too large, and sends these when the limit rises', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 20; ts += 1) spool.enqueue([testSample(ts, ts % 2 === 0 ? 5000 : 10)]);
    let bytesMax = 2000;
    const sizes = new Map<number, number>();
    const publish = async ({ payload, userProperties }: PublishRequest): Promise<PublishOutcome> => {
      sizes.set(Number(userProperties?.['seq']), payload.length);
      return payload.length > bytesMax ? { kind: 'too-large', bytesMax } : { kind: 'accepted' };
    };
    const uplink = { publish, ready: true } as unknown as Uplink;
    const forwarder = newForwarder({ clock, spool, uplink, options: { ...options, order: 'fifo' } });
    forwarder.limitSize(bytesMax);
    forwarder.sessionReady(4);
    await clock.advanceAsync(5000);
    assert.deepEqual([spool.status().batches, forwarder.oversize, spool.status().quarantined], [10, 10, 0]);
    // A session that ends and comes back with the same limit reads none of them again.
    sizes.clear();
    forwarder.sessionLost();
    forwarder.limitSize(bytesMax);
    forwarder.sessionReady(4);
    await clock.advanceAsync(5000);
    assert.equal(sizes.size, 0);
    bytesMax = Infinity;
    forwarder.limitSize(bytesMax);
    await clock.advanceAsync(5000);
    assert.deepEqual([spool.status().batches, forwarder.oversize], [0, 0]);
    forwarder.close();
  });

  it('treats a batch as too large if it ends several sessions while smaller ones are accepted', async (t) => {
    const clock = new FakeClock();
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    for (let ts = 1; ts <= 3; ts += 1) spool.enqueue([testSample(ts, ts === 2 ? 5000 : 10)]);
    const suspects: string[] = [];
    const publish = async ({ payload }: PublishRequest): Promise<PublishOutcome> => {
      if (payload.length < 2000) return { kind: 'accepted' };
      forwarder.sessionLost();
      clock.after(100, () => forwarder.sessionReady(100));
      return { kind: 'unsettled', outstanding: 1, closedByPeer: true };
    };
    const tooLarge = ({ userProperties }: PublishRequest): void => {
      suspects.push(userProperties!['seq']!);
      forwarder.limitSize(4000);
    };
    const uplink = { publish, tooLarge, ready: true } as unknown as Uplink;
    const forwarder: Forwarder = newForwarder({ clock, spool, uplink });
    forwarder.sessionReady(100);
    for (let round = 0; round < 60; round += 1) {
      await clock.advanceAsync(10_000);
      spool.enqueue([testSample(100 + round, 10)]);
      forwarder.pump();
    }
    await clock.advanceAsync(10_000);
    assert.deepEqual(suspects, ['2']);
    assert.deepEqual([spool.status().batches, spool.status().quarantined, forwarder.oversize], [1, 0, 1]);
    forwarder.close();
  });

  describe('with an encoder that makes two messages of a batch', () => {
    const twofold = {
      messagesPerBatchMax: 2,
      packetBytes: (request: PublishRequest) => encoder.packetBytes(request),
      telemetry: (batch: OutgoingBatch): [PublishRequest, PublishRequest] => {
        const [request] = encoder.telemetry(batch);
        const half = (name: string): PublishRequest => ({
          ...request,
          userProperties: { ...request.userProperties, half: name },
        });
        return [half('a'), half('b')];
      },
    };

    it('settles a batch when both are accepted, and keeps it if one is not', async (t) => {
      const clock = new FakeClock();
      const spool = await openTestSpool(temporaryDirectory(t));
      t.after(() => spool.close());
      for (let ts = 1; ts <= 4; ts += 1) spool.enqueue([testSample(ts, 10)]);
      const sent: string[] = [];
      let takesAll = false;
      const publish = async ({ userProperties }: PublishRequest): Promise<PublishOutcome> => {
        const { seq, half } = userProperties!;
        sent.push(`${seq}${half}`);
        return { kind: !takesAll && seq === '2' && half === 'b' ? 'no-subscribers' : 'accepted' };
      };
      const uplink = { publish, ready: true } as unknown as Uplink;
      const delivered: number[] = [];
      const forwarder = newForwarder({
        clock,
        spool,
        uplink,
        encoder: twofold,
        delivered: (samples) => delivered.push(samples),
      });
      forwarder.sessionReady(100);
      await clock.advanceAsync(500);
      assert.ok(sent.includes('2a') && sent.includes('2b'));
      assert.equal(spool.status().batches, 4 - delivered.length);
      assert.ok(delivered.length < 4);
      takesAll = true;
      await clock.advanceAsync(120_000);
      assert.equal(spool.status().batches, 0);
      for (const seq of [1, 2, 3, 4]) {
        for (const half of ['a', 'b']) assert.ok(sent.includes(`${seq}${half}`), `${seq}${half}`);
      }
      forwarder.close();
    });

    it('has no more messages in flight than the broker allows', async (t) => {
      const clock = new FakeClock();
      const spool = await openTestSpool(temporaryDirectory(t));
      t.after(() => spool.close());
      for (let ts = 1; ts <= 40; ts += 1) spool.enqueue([testSample(ts, 10)]);
      let inflight = 0;
      let most = 0;
      const publish = async (): Promise<PublishOutcome> => {
        inflight += 1;
        most = Math.max(most, inflight);
        await new Promise<void>((resolve) => void clock.after(50, resolve));
        inflight -= 1;
        return { kind: 'accepted' };
      };
      const uplink = { publish, ready: true } as unknown as Uplink;
      const forwarder = newForwarder({ clock, spool, uplink, encoder: twofold });
      forwarder.sessionReady(7);
      await clock.advanceAsync(60_000);
      assert.equal(spool.status().batches, 0);
      assert.ok(most > 1 && most <= 7, `${most} in flight`);
      forwarder.close();
    });
  });
});
