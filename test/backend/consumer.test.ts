import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { VouchFor } from '../../src/backend/signature.ts';
import { Consumer } from '../../src/backend/consumer.ts';
import { formatNotice, type Notice } from '../../src/backend/notice.ts';
import type { Row } from '../../src/backend/row.ts';
import { openFileSink, type RowSink } from '../../src/backend/row-sink.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { MerestoneError } from '../../src/base/error.ts';
import { loadGatewayTrust } from '../../src/cli/gateway-trust.ts';
import { createAuthority, type Authority } from '../../src/simulator/certificate-authority.ts';
import type { StreamEvent } from '../../src/messages/event.ts';
import type { Channel, Origin } from '../../src/messages/topic.ts';
import { topicOf } from '../../src/messages/topic.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { epochs, firstTs, issueSigner, prove, SealedStream } from '../support/sealed-stream.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };
const gapGraceMs = 30_000;

describe('the consumer', () => {
  const folder = temporaryDirectory({ after });
  let authority: Authority;
  let signer: Awaited<ReturnType<typeof issueSigner>>;
  let vouchFor: VouchFor;

  before(async () => {
    authority = await createAuthority('Test CA');
    signer = await issueSigner(authority, acme);
    writeFileSync(join(folder, 'ca.crt'), authority.certificatePem);
    vouchFor = loadGatewayTrust([join(folder, 'ca.crt')]);
  });

  /** A consumer whose rows and notices a test can look at. */
  class Bench {
    readonly rows: Row[] = [];
    readonly notices: Notice[] = [];
    readonly clock = new FakeClock();
    readonly store: StateStore;
    readonly consumer: Consumer;

    constructor(parts: { file?: string; sink?: RowSink; verify?: boolean } = {}) {
      const { file = ':memory:', verify = true } = parts;
      const sink = parts.sink ?? {
        write: async (rows) => void this.rows.push(...rows),
        mark: () => undefined,
        close: async () => {},
      };
      this.store = new StateStore(file, asideLimits);
      this.consumer = new Consumer({
        clock: this.clock,
        store: this.store,
        sink,
        vouchFor: verify ? vouchFor : undefined,
        evidence: undefined,
        keepRefused: true,
        gapGraceMs,
        notify: (notice) => this.notices.push(notice),
      });
    }

    take(
      channel: Channel,
      document: Buffer | string | object,
      origin: Origin = acme,
      again = false,
    ): Promise<boolean> {
      const text = typeof document === 'string' ? document : JSON.stringify(document);
      const payload = Buffer.isBuffer(document) ? document : Buffer.from(text);
      return this.consumer.take({ topic: topicOf(origin, channel), payload, properties: {}, again });
    }

    async takeBatches(stream: SealedStream, ...seqs: number[]): Promise<void> {
      for (const seq of seqs) await this.take('telemetry', stream.payload(seq), stream.origin);
    }

    kinds(severity?: Notice['severity']): string[] {
      return this.notices
        .filter((each) => severity === undefined || each.severity === severity)
        .map(({ kind }) => kind);
    }
  }

  const checkpoint = async (stream: SealedStream, seq = stream.seq, more = {}): Promise<string> =>
    signer.sign(stream.claims(seq, more));

  it('writes one row a value, with unit, quality and time', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme);
    await bench.take('meta', {
      v: 1,
      ...acme,
      at: 0,
      version: '1.0.0',
      configSha256: 'a'.repeat(64),
      devices: [
        {
          name: 'meter',
          points: [
            { name: 'power', type: 'float32', unit: 'W' },
            { name: 'state', type: 'string' },
          ],
        },
      ],
    });
    stream.append([
      {
        device: 'meter',
        ts: firstTs,
        values: { power: 1.5, state: 'on', toString: 1 },
        quality: { energy: 'timeout' },
      },
      { device: 'constructor', ts: firstTs + 1, clock: 'estimated', values: { power: true } },
    ]);
    await bench.takeBatches(stream, 1);
    const common = { ...acme, epoch: stream.epoch, seq: 1 };
    const meter = { ...common, device: 'meter', time: '2025-11-22T20:08:43.456Z', ts: firstTs };
    assert.deepEqual(bench.rows, [
      { ...meter, point: 'power', value: 1.5, unit: 'W', quality: 'good' },
      { ...meter, point: 'state', value: 'on', unit: null, quality: 'good' },
      { ...meter, point: 'toString', value: 1, unit: null, quality: 'good' },
      { ...meter, point: 'energy', value: null, unit: null, quality: 'timeout' },
      {
        ...common,
        device: 'constructor',
        point: 'power',
        value: true,
        unit: null,
        quality: 'good',
        time: '2025-11-22T20:08:43.457Z',
        ts: firstTs + 1,
        clock: 'estimated',
      },
    ]);
  });

  it('drops duplicates and says so in bulk', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme).appendMany(5);
    await bench.takeBatches(stream, 1, 2, 3, 2, 3, 3, 1, 4, 5);
    assert.deepEqual(
      bench.rows.filter(({ point }) => point === 'power').map(({ value }) => value),
      [1, 2, 3, 4, 5],
    );
    bench.consumer.tick();
    bench.consumer.tick();
    assert.deepEqual(bench.notices.map(formatNotice), [
      `info acme/acme_gw-0001 duplicates: came again and were dropped: 1–3 (epoch ${epochs[0]})`,
    ]);
  });

  it('keeps streams apart: the same seq of another tenant, gateway or epoch is another batch', async () => {
    const bench = new Bench();
    const origins = [acme, beta, { ...acme, gateway: 'acme_gw-0002' }];
    for (const origin of origins) await bench.takeBatches(new SealedStream(origin).appendMany(1), 1);
    await bench.takeBatches(new SealedStream(acme, epochs[1]).appendMany(1), 1);
    assert.equal(bench.consumer.counts.batches, 4);
  });

  it('names a gap only when it lasts, and takes it back when it closes', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme).appendMany(50);
    await bench.takeBatches(stream, 10, 11, 50);
    bench.consumer.tick();
    bench.clock.advance(gapGraceMs - 1);
    bench.consumer.tick();
    assert.deepEqual(bench.kinds(), []);
    bench.clock.advance(1);
    bench.consumer.tick();
    bench.consumer.tick();
    await bench.takeBatches(stream, 12, 13, 14);
    bench.clock.advance(gapGraceMs);
    bench.consumer.tick();
    assert.deepEqual(
      bench.notices.map(({ kind, details }) => [kind, details]),
      [['gap', { from: 12, to: 49 }]],
    );
    for (let seq = 15; seq < 50; seq++) await bench.takeBatches(stream, seq);
    bench.consumer.tick();
    assert.deepEqual(bench.kinds(), ['gap', 'gap-closed']);
  });

  it('takes an event as the explanation of a gap, once', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme).appendMany(20);
    await bench.takeBatches(stream, 1, 2, 10);
    const event = await prove(signer, stream.lost('dropped', 3, 6));
    await bench.take('event', event);
    await bench.take('event', event);
    await bench.take('event', await prove(signer, stream.lost('quarantined', 8, 8, 'refused by the broker')));
    bench.consumer.tick();
    bench.clock.advance(gapGraceMs);
    bench.consumer.tick();
    const told = bench.notices.filter(({ kind }) => kind !== 'verified');
    assert.deepEqual(told.map(({ kind, details }) => [kind, details?.['from'], details?.['to']]).slice(2), [
      ['gap', 7, 7],
      ['gap', 9, 9],
    ]);
    assert.equal(
      formatNotice(bench.notices[0]!),
      'warning acme/acme_gw-0001 dropped: will not come: 3–6 (4 samples of 2025-11-22T20:08:46.456Z to ' +
        `2025-11-22T20:08:49.456Z); spool full (epoch ${epochs[0]})`,
    );
    assert.deepEqual(
      told.slice(0, 2).map(({ kind }) => kind),
      ['dropped', 'quarantined'],
    );
  });

  it('does not miss what lies before the first batch it ever got, but what lies before a checkpoint', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme).appendMany(30);
    await bench.takeBatches(stream, 21, 22);
    await bench.take('checkpoint', await checkpoint(stream, 25));
    const ledger = bench.store.stream({ ...acme, epoch: stream.epoch });
    assert.deepEqual(ledger.gaps(), [[23, 25]]);
  });

  it('verifies the chain as it goes', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme).appendMany(12);
    await bench.takeBatches(stream, 1, 2, 3, 4);
    await bench.take('checkpoint', await checkpoint(stream, 3));
    await bench.take('event', await prove(signer, stream.lost('dropped', 5, 7)));
    await bench.takeBatches(stream, 9, 8, 10);
    await bench.take('checkpoint', await checkpoint(stream, 10));
    assert.deepEqual(
      bench.notices.filter(({ kind }) => kind === 'verified').map(({ message }) => message),
      ['as signed: 1–3', 'as signed: 4', 'as signed: 8–10'],
    );
    assert.equal(bench.consumer.counts.security, 0);
  });

  it('goes over into the next epoch: its first checkpoint signs the last head of the one before', async () => {
    const bench = new Bench();
    const before = new SealedStream(acme).appendMany(8);
    const next = new SealedStream(acme, epochs[1]).appendMany(3);
    await bench.takeBatches(before, 1, 2, 3, 4, 5, 6);
    await bench.take('checkpoint', await checkpoint(before, 4));
    const previous = { epoch: before.epoch, ...before.place(7) };
    await bench.takeBatches(next, 1, 2);
    await bench.take('checkpoint', await checkpoint(next, 2, { previous }));
    const ledger = bench.store.stream({ ...acme, epoch: before.epoch });
    assert.deepEqual(ledger.gaps(), [[7, 7]], 'batch 7 must exist: its successor says so');
    await bench.takeBatches(before, 7);
    assert.deepEqual(ledger.verified.runs, [[1, 7]]);
    await bench.takeBatches(before, 8);
    assert.deepEqual(bench.kinds('security'), ['beyond-end']);
  });

  it('believes the chain values of an event only where it is signed', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme).appendMany(12);
    const event = stream.lost('dropped', 3, 4);
    await bench.takeBatches(stream, 1, 2, 5, 6);
    await bench.take('event', { ...event, chainBefore: 'f'.repeat(64) });
    const ledger = bench.store.stream({ ...acme, epoch: stream.epoch });
    assert.deepEqual(ledger.gaps(), [[3, 4]], 'it explains nothing');
    assert.deepEqual(bench.kinds('security'), ['event-unsigned']);
    assert.deepEqual(ledger.verified.runs, []);
    await bench.take('event', await prove(signer, event));
    await bench.take('checkpoint', await checkpoint(stream, 6));
    assert.deepEqual(ledger.verified.runs, [
      [1, 2],
      [5, 6],
    ]);
    assert.deepEqual(ledger.gaps(), []);
    assert.deepEqual(bench.kinds('security'), ['event-unsigned']);
    const trusting = new Bench({ verify: false });
    await trusting.takeBatches(stream, 1, 2, 5, 6);
    await trusting.take('event', event);
    const taken = trusting.store.stream({ ...acme, epoch: stream.epoch });
    assert.deepEqual(taken.gaps(), [], 'without trust, where nothing is verified, it is all that there is');
  });

  const findings: [string, string[], (bench: Bench, stream: SealedStream) => Promise<void>][] = [
    [
      'a changed byte',
      ['broken'],
      async (bench, stream) => {
        const payload = Buffer.from(stream.payload(3).toString().replace('"power":3', '"power":4'));
        await bench.takeBatches(stream, 1, 2);
        await bench.take('telemetry', payload);
        await bench.takeBatches(stream, 4, 5);
        await bench.take('checkpoint', await checkpoint(stream, 5));
      },
    ],
    [
      'an added batch, found before the true one',
      ['altered', 'broken'],
      async (bench, stream) => {
        const added = new SealedStream(acme).appendMany(2);
        added.append([{ device: 'meter', ts: firstTs, values: { power: 9999 } }]);
        await bench.takeBatches(stream, 1, 2);
        await bench.takeBatches(added, 3);
        await bench.takeBatches(stream, 3, 4, 5);
        await bench.take('checkpoint', await checkpoint(stream, 5));
      },
    ],
    [
      'a reordered stream',
      ['broken'],
      async (bench, stream) => {
        const swapped = (seq: number, as: number): Buffer =>
          Buffer.from(stream.payload(seq).toString().replace(`"seq":${seq}`, `"seq":${as}`));
        await bench.takeBatches(stream, 1);
        await bench.take('telemetry', swapped(2, 3));
        await bench.take('telemetry', swapped(3, 2));
        await bench.takeBatches(stream, 4, 5);
        await bench.take('checkpoint', await checkpoint(stream, 5));
      },
    ],
    [
      'a batch in another tenant’s name',
      ['telemetry-refused'],
      async (bench, stream) => {
        await bench.take('telemetry', stream.payload(1), beta);
      },
    ],
    [
      'another tenant’s checkpoint on this one’s topic',
      ['checkpoint-refused'],
      async (bench) => {
        const betaSigner = await issueSigner(authority, beta);
        await bench.take('checkpoint', await betaSigner.sign(new SealedStream(beta).claims()));
      },
    ],
    [
      'this one’s claims, signed with another tenant’s certificate',
      ['checkpoint-refused'],
      async (bench, stream) => {
        const betaSigner = await issueSigner(authority, beta);
        await bench.takeBatches(stream, 1, 2);
        await bench.take('checkpoint', await betaSigner.sign(stream.claims(2)));
      },
    ],
    [
      'a checkpoint played again',
      ['checkpoint-replayed'],
      async (bench, stream) => {
        const old = await checkpoint(stream, 2);
        await bench.takeBatches(stream, 1, 2, 3, 4);
        await bench.take('checkpoint', old);
        await bench.take('checkpoint', await checkpoint(stream, 4));
        await bench.take('checkpoint', old, acme, true); // redelivered by the broker, marked as such
        await bench.take('checkpoint', old);
      },
    ],
    [
      'a checkpoint of a finished epoch',
      ['checkpoint-replayed'],
      async (bench, stream) => {
        const next = new SealedStream(acme, epochs[1]).appendMany(1);
        await bench.take('checkpoint', await checkpoint(stream, 5));
        await bench.take('checkpoint', await checkpoint(next, 1));
        await bench.take('checkpoint', await checkpoint(stream, 6));
      },
    ],
    [
      'a signed event that shows that what came before it was changed',
      ['broken'],
      async (bench, stream) => {
        await bench.takeBatches(stream, 1);
        await bench.take(
          'telemetry',
          Buffer.from(stream.payload(2).toString().replace('"power":2', '"power":3')),
        );
        await bench.take('event', await prove(signer, stream.lost('dropped', 3, 4)));
      },
    ],
    [
      'an event whose proof is about another one',
      ['event-refused'],
      async (bench, stream) => {
        const { proof } = await prove(signer, stream.lost('dropped', 3, 4));
        await bench.take('event', { ...stream.lost('dropped', 3, 5), proof });
      },
    ],
    [
      'an event whose proof is another gateway’s',
      ['event-refused'],
      async (bench, stream) => {
        const betaSigner = await issueSigner(authority, beta);
        await bench.take('event', await prove(betaSigner, stream.lost('dropped', 3, 4)));
      },
    ],
    [
      'an event in another tenant’s name',
      ['event-refused'],
      async (bench, stream) => {
        await bench.take('event', stream.lost('dropped', 3, 4), beta);
      },
    ],
  ];
  for (const [what, kinds, deliver] of findings) {
    it(`finds ${what}`, async () => {
      const bench = new Bench();
      await deliver(bench, new SealedStream(acme).appendMany(8));
      assert.deepEqual(bench.kinds('security'), kinds);
      assert.equal(bench.consumer.counts.security, kinds.length);
    });
  }

  it('finds a batch left out, as a gap and as a stretch without a verdict', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme).appendMany(9);
    await bench.takeBatches(stream, 1, 2, 4, 5);
    await bench.take('checkpoint', await checkpoint(stream, 5));
    await bench.takeBatches(stream, 6, 7);
    await bench.take('checkpoint', await checkpoint(stream, 7));
    bench.consumer.tick();
    bench.clock.advance(gapGraceMs);
    bench.consumer.tick();
    assert.deepEqual(
      bench.notices.map(({ kind, details }) => [kind, details?.['from'], details?.['to']]),
      [
        ['verified', 6, 7],
        ['gap', 3, 3],
      ],
    );
  });

  it('refuses a malformed message, says where, and goes on', async () => {
    const bench = new Bench();
    await bench.take('telemetry', Buffer.from('{'));
    await bench.take('event', 'x\u001b[2J');
    await bench.consumer.take({
      topic: 'somebody/else',
      payload: Buffer.from('x'),
      properties: {},
      again: false,
    });
    await bench.take('canary', 'x');
    await bench.take('meta', Buffer.alloc(0));
    assert.deepEqual(bench.kinds('warning'), ['telemetry-refused', 'event-refused']);
    assert.equal(bench.consumer.counts.refused, 2);
  });

  it('lets no sender write control characters to a terminal', async () => {
    const bench = new Bench();
    const stream = new SealedStream(acme).appendMany(3);
    await bench.take('event', stream.lost('dropped', 1, 2, 'full\n\u001b]0;owned\u0007\u202e'));
    assert.doesNotMatch(formatNotice(bench.notices[0]!), /[\p{Cc}\p{Cf}]/u);
  });

  it('tells when a gateway comes and goes, once', async () => {
    const bench = new Bench();
    const status = { v: 1, ...acme, online: true, since: 0, version: '1.0.0', epoch: epochs[0] };
    for (const online of [true, true, false, false, true]) await bench.take('status', { ...status, online });
    assert.deepEqual(bench.kinds(), ['online', 'offline', 'online']);
  });

  it('needs no checkpoints to write rows', async () => {
    const bench = new Bench({ verify: false });
    const stream = new SealedStream(acme).appendMany(3);
    await bench.take('checkpoint', 'nonsense');
    await bench.takeBatches(stream, 1, 3, 2);
    assert.equal(bench.consumer.counts.batches, 3);
    assert.deepEqual(bench.notices, []);
  });

  /** Every message of a stream with declared drops, as often as it likes and in any order. */
  function deliveries(count: number): fc.Arbitrary<{ lost: number[]; order: number[] }> {
    return fc.uniqueArray(fc.integer({ min: 2, max: count }), { maxLength: 5 }).chain((lost) => {
      const seqs = Array.from({ length: count }, (_, index) => index + 1);
      const messages = seqs.map((seq) => (lost.includes(seq) ? -seq : seq));
      return fc
        .tuple(fc.array(fc.constantFrom(...messages), { maxLength: 15 }), fc.constant(messages))
        .chain(([again, once]) => {
          const all = [...once, ...again];
          return fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length });
        })
        .map((order) => ({ lost, order }));
    });
  }

  it('writes every row once and proves the chain, for any order and repetition', async () => {
    const stream = new SealedStream(acme).appendMany(25);
    const jws = new Map<number, string>();
    for (const seq of [5, 10, 15, 20, 25]) jws.set(seq, await checkpoint(stream, seq));
    const events = new Map<number, StreamEvent>();
    for (let seq = 1; seq <= 25; seq++)
      events.set(seq, await prove(signer, stream.lost('dropped', seq, seq)));
    await fc.assert(
      fc.asyncProperty(deliveries(25), async ({ lost, order }) => {
        const bench = new Bench();
        const last = jws.get(25)!;
        for (const [index, message] of order.entries()) {
          if (message > 0) await bench.takeBatches(stream, message);
          else await bench.take('event', events.get(-message)!);
          const now = jws.get(index);
          if (now !== undefined) await bench.take('checkpoint', now);
        }
        await bench.take('checkpoint', last);
        const expected = stream.payloads.map((_, index) => index + 1).filter((seq) => !lost.includes(seq));
        const written = bench.rows.filter(({ point }) => point === 'power').map(({ seq }) => seq);
        assert.deepEqual(
          written.toSorted((a, b) => a - b),
          expected,
        );
        assert.deepEqual(bench.kinds('security'), []);
        const ledger = bench.store.stream({ ...acme, epoch: stream.epoch });
        const verified = expected.filter((seq) => ledger.verified.has(seq));
        assert.deepEqual(verified, expected);
        assert.equal(ledger.verified.size, expected.length);
        assert.deepEqual(ledger.gaps(), []);
        bench.store.close();
      }),
      { numRuns: 150 },
    );
  });

  it('writes every row once to a file over any number of crashes', async () => {
    const stream = new SealedStream(acme).appendMany(30);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        deliveries(30),
        fc.infiniteStream(fc.integer({ min: 0, max: 5 })),
        async ({ lost, order }, luck) => {
          run++;
          const [file, output] = [join(folder, `${run}.state`), join(folder, `${run}.ndjson`)];
          const queue = [...order];
          for (let lives = 0; queue.length > 0 && lives < 200; lives++) {
            const store = new StateStore(file, asideLimits);
            const sink = await openFileSink(output, store);
            store.close();
            const crashing: RowSink = {
              ...sink,
              write: async (rows) => {
                const when = luck.next().value;
                if (when === 0) throw new MerestoneError('Io', 'crash before the rows');
                await sink.write(when === 1 ? rows.slice(0, 1) : rows);
                if (when <= 2) throw new MerestoneError('Io', 'crash before the commit');
              },
            };
            const bench = new Bench({ file, sink: crashing });
            try {
              for (; queue.length > 0; queue.shift()) {
                const message = queue[0]!;
                if (message > 0) await bench.takeBatches(stream, message);
                else await bench.take('event', stream.lost('dropped', -message, -message));
                if (luck.next().value === 0) throw new Error('crash before the acknowledgement');
              }
            } catch (error) {
              assert.match(String(error), /crash before/);
            }
            bench.store.close();
            await sink.close();
          }
          assert.equal(queue.length, 0);
          const rows = readFileSync(output, 'utf8')
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line) as Row);
          const keys = rows.map(({ seq, point }) => `${seq} ${point}`);
          const expected = stream.payloads
            .map((_, index) => index + 1)
            .flatMap((seq) => (lost.includes(seq) ? [] : [`${seq} power`, `${seq} energy`]));
          assert.deepEqual(keys.toSorted(), expected.toSorted());
          for (const path of [file, output]) rmSync(path);
        },
      ),
      { numRuns: 10 },
    );
  });
});
