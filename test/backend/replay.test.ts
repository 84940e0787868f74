import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { StateStore } from '../../src/backend/state-store.ts';
import type { VouchFor } from '../../src/backend/signature.ts';
import { loadGatewayTrust } from '../../src/cli/gateway-trust.ts';
import type { Channel } from '../../src/messages/topic.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { ConsumerBench } from '../support/consumer-bench.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { issueSigner, SealedStream } from '../support/sealed-stream.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };

/** Batches of a later version, each of this many bytes. */
function newer(seq: number, bytes: number): Buffer {
  const batch = JSON.parse(new SealedStream(acme).appendMany(1).payload(1).toString()) as object;
  return Buffer.from(JSON.stringify({ ...batch, v: 2, seq }).padEnd(bytes));
}

/** What waits is taken, as a running consumer takes it. */
async function takeAll(bench: ConsumerBench, times = Infinity): Promise<void> {
  const { parked: aside } = bench.store;
  for (let taken = 0; taken < times; taken++) {
    const found = aside.oldest(acme);
    if (found === undefined) return;
    await bench.consumer.take(found.arrival);
    aside.remove(acme, found.id, found.arrival);
  }
}

const seqsOf = (store: StateStore): number[] =>
  [...store.parked.refused()].map(({ bytes }) => bytes % 1000).sort((a, b) => a - b);

describe('messages that were refused', () => {
  const folder = temporaryDirectory({ after });
  let signer: Awaited<ReturnType<typeof issueSigner>>;
  let vouchFor: VouchFor;
  let strange: VouchFor;

  before(async () => {
    const [own, other] = [await createAuthority('Own CA'), await createAuthority('Other CA')];
    signer = await issueSigner(own, acme);
    writeFileSync(join(folder, 'own.crt'), own.certificatePem);
    writeFileSync(join(folder, 'other.crt'), other.certificatePem);
    vouchFor = loadGatewayTrust([join(folder, 'own.crt')]);
    strange = loadGatewayTrust([join(folder, 'other.crt')]);
  });

  it('are taken by a consumer that knows them, and then kept no more', async () => {
    const file = join(folder, 'known.state');
    const stream = new SealedStream(acme).appendMany(2);
    const earlier = new ConsumerBench({ file, vouchFor: strange });
    for (const seq of [1, 2]) await earlier.take('telemetry', stream.payload(seq), acme);
    await earlier.take('checkpoint', await signer.sign({ ...stream.claims(2) }), acme);
    assert.deepEqual(earlier.of('checkpoint-refused').length, 1);
    earlier.store.close();
    const later = new ConsumerBench({ file, vouchFor });
    assert.equal(later.store.parked.release(), 1);
    await takeAll(later);
    assert.deepEqual(
      later.of('verified').map(({ details }) => [details!['from'], details!['to']]),
      [[1, 2]],
    );
    assert.deepEqual([...later.store.parked.refused()], []);
    assert.equal(later.store.parked.release(), 0);
    later.store.close();
  });

  it('are all still there when the version that tries them again does not know them either', async () => {
    const bench = new ConsumerBench();
    // Ten thousand bytes a batch: nine have room.
    for (let seq = 1; seq <= 12; seq++) await bench.take('telemetry', newer(seq, 10_000 + seq), acme);
    const kept = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert.deepEqual(seqsOf(bench.store), kept);
    for (let replays = 0; replays < 3; replays++) {
      assert.equal(bench.store.parked.release(), 9);
      await takeAll(bench);
      assert.deepEqual(seqsOf(bench.store), kept);
    }
  });

  it('do not lose their place to what comes new meanwhile, and together have an end', async () => {
    const bench = new ConsumerBench();
    for (let seq = 1; seq <= 9; seq++) await bench.take('telemetry', newer(seq, 10_000 + seq), acme);
    for (let replays = 0; replays < 3; replays++) {
      bench.store.parked.release();
      for (let seq = 101; seq <= 120; seq++) await bench.take('telemetry', newer(seq, 10_000 + seq), acme);
      await takeAll(bench);
      const kept = seqsOf(bench.store);
      assert.deepEqual(kept.slice(0, 9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
      const bytes = [...bench.store.parked.refused()].reduce((sum, each) => sum + each.bytes, 0);
      assert.ok(bytes <= 2 * asideLimits.refusedBytesMax, `${bytes} bytes are kept`);
    }
    await bench.take('telemetry', newer(1, 10), beta);
    assert.equal([...bench.store.parked.refused()].at(-1)!.tenant, 'beta', 'another tenant has its own room');
  });

  it('are there once, whenever the consumer is killed while it tries them again', async () => {
    const file = join(folder, 'killed.state');
    let bench = new ConsumerBench({ file });
    for (let seq = 1; seq <= 5; seq++) await bench.take('telemetry', newer(seq, 1000 + seq), acme);
    bench.store.parked.release();
    await takeAll(bench, 2);
    // In the midst of the third: refused, and not yet removed.
    await bench.consumer.take(bench.store.parked.oldest(acme)!.arrival);
    bench.store.close();
    bench = new ConsumerBench({ file });
    assert.deepEqual(bench.store.parked.waiting(), [{ ...acme, count: 2 }]);
    await takeAll(bench);
    assert.deepEqual(seqsOf(bench.store), [1, 2, 3, 4, 5]);
    bench.store.close();
  });

  for (const channel of ['checkpoint', 'meta', 'status'] as const satisfies Channel[]) {
    it(`are kept once, however often the broker sends the one that it retains (${channel})`, async () => {
      const bench = new ConsumerBench({ vouchFor });
      for (let connections = 0; connections < 50; connections++) {
        await bench.take(channel, Buffer.from('{"v":2}'.padEnd(20_000)), acme, true);
      }
      await bench.take(channel, '{"v":3}', acme, true);
      assert.equal([...bench.store.parked.refused()].length, 2);
      assert.ok(bench.notices.every(({ message }) => !message.endsWith('not kept')));
    });
  }

  it('leave the room of a file as it is, over restarts', async () => {
    const file = join(folder, 'room.state');
    for (let starts = 0; starts < 3; starts++) {
      const bench = new ConsumerBench({ file });
      bench.store.parked.release();
      await takeAll(bench);
      for (let seq = 1; seq <= 30; seq++) await bench.take('telemetry', newer(seq, 10_000 + seq), acme);
      bench.store.close();
    }
    const store = new StateStore(file, asideLimits);
    assert.equal(seqsOf(store).length, 9);
    assert.ok(store.parked.keepRefused(beta, arrivalOf(newer(1, 10)), 0, 'x'));
    store.close();
  });
});

function arrivalOf(payload: Buffer) {
  return { topic: 't/beta/beta_gw-0001/telemetry', payload, properties: {}, again: false };
}
