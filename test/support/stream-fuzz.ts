import { zstdCompressSync } from 'node:zlib';
import type { Channel, Origin } from '../../src/messages/topic.ts';
import { mutations } from './mutation.ts';
import { randomFrom } from './random.ts';
import { SealedStream } from './sealed-stream.ts';

export interface FuzzMessage {
  /** The attack. */
  kind: string;
  channel: Channel;
  payload: Buffer;
}

/** Messages in the right format with hostile content: deep, wide, long, many, compressed, signed. */
export class StreamFuzz {
  readonly #origin: Origin;
  readonly #sign: (claims: object) => Promise<string>;
  readonly #random: () => number;
  readonly #stream: SealedStream;
  #epoch = 0;
  /** Large ones are few, as an attacker's bandwidth is too. */
  readonly #bytesMax: number;

  constructor(origin: Origin, sign: (claims: object) => Promise<string>, seed: number, bytesMax: number) {
    this.#origin = origin;
    this.#sign = sign;
    this.#random = randomFrom(seed);
    this.#bytesMax = bytesMax;
    this.#stream = new SealedStream(origin, this.#freshEpoch()).appendMany(20);
  }

  async next(): Promise<FuzzMessage> {
    const kinds = Object.keys(makers) as (keyof typeof makers)[];
    const kind = kinds[this.#below(kinds.length)]!;
    const [channel, payload] = await makers[kind](this.#tools());
    return { kind, channel, payload };
  }

  #tools(): Tools {
    return {
      origin: this.#origin,
      stream: this.#stream,
      sign: this.#sign,
      below: (limit) => this.#below(limit),
      // Most are small, some as large as it goes.
      size: (max) => Math.floor(Math.min(max, this.#bytesMax) * this.#random() ** 4),
      freshEpoch: () => this.#freshEpoch(),
    };
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #freshEpoch(): string {
    return `01JFVZZ${String(++this.#epoch).padStart(19, '0')}`;
  }
}

interface Tools {
  origin: Origin;
  stream: SealedStream;
  sign: (claims: object) => Promise<string>;
  below: (limit: number) => number;
  size: (max: number) => number;
  freshEpoch: () => string;
}

type Made = readonly [Channel, Buffer];
type Maker = (tools: Tools) => Made | Promise<Made>;

const documents = ['telemetry', 'event', 'meta', 'status', 'checkpoint'] as const;
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const hash = 'a'.repeat(64);

function batchOf({ origin, freshEpoch, below }: Tools, samples: unknown, more: object = {}): Buffer {
  return bytesOf({ v: 1, ...origin, epoch: freshEpoch(), seq: 1 + below(1000), samples, ...more });
}

/** Nested, as far as `depth`, in lists or objects, closed or not. */
function nested({ below }: Tools, depth: number): string {
  const [open, close] = below(2) === 0 ? ['[', ']'] : ['{"a":', '}'];
  return open.repeat(depth) + (below(3) === 0 ? '' : `1${close.repeat(depth)}`);
}

function pointsOf(count: number, value: unknown): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`p${n}`, value]));
}

const makers = {
  deep: (tools) => {
    const channel = documents[tools.below(documents.length)]!;
    return [channel, Buffer.from(nested(tools, 1 + tools.size(50_000)))];
  },
  'deep within': (tools) => {
    const head = JSON.stringify({ v: 1, ...tools.origin, id: tools.freshEpoch(), at: 1, kind: 'audit' });
    return [
      'event',
      Buffer.from(`${head.slice(0, -1)},"entry":{"a":${nested(tools, 1 + tools.below(40))}}}`),
    ];
  },
  wide: (tools) => [
    'telemetry',
    batchOf(tools, [{ device: 'd', ts: 1, values: pointsOf(tools.size(60_000), 1) }]),
  ],
  'wide at the top': (tools) => ['telemetry', batchOf(tools, [], pointsOf(tools.size(60_000), 1))],
  'long texts': (tools) => {
    const value = 'x'.repeat(tools.size(2_000_000));
    const device = { name: 'd', points: [{ name: 'p', type: 'string', unit: value }] };
    return [
      'meta',
      bytesOf({ v: 1, ...tools.origin, at: 1, version: '1', configSha256: hash, devices: [device] }),
    ];
  },
  'long names': (tools) => [
    'telemetry',
    batchOf(tools, [{ device: 'd'.repeat(tools.size(300_000)), ts: 1, values: {} }]),
  ],
  'many samples': (tools) => {
    const sample = { device: 'd', ts: 1, values: { p: 1 } };
    return [
      'telemetry',
      batchOf(
        tools,
        Array.from({ length: tools.size(20_000) }, () => sample),
      ),
    ];
  },
  'many items': (tools) => ['telemetry', Buffer.from(`[${'0,'.repeat(tools.size(500_000))}0]`)],
  'many digits': (tools) =>
    ['telemetry', batchOf(tools, [{ device: 'd', ts: 1, values: { p: 'N' } }])].map((part) =>
      Buffer.isBuffer(part)
        ? Buffer.from(part.toString().replace('"N"', '1'.repeat(1 + tools.size(50_000))))
        : part,
    ) as unknown as Made,
  'many epochs': (tools) => ['telemetry', batchOf(tools, [{ device: 'd', ts: 1, values: { p: 1 } }])],
  'many gaps': ({ origin, below }) => {
    const samples = [{ device: 'd', ts: 1, values: { p: 1 } }];
    return ['telemetry', bytesOf({ v: 1, ...origin, epoch: 'gaps', seq: 1 + 2 * below(100_000), samples })];
  },
  forks: (tools) => {
    const samples = [{ device: 'd', ts: 1, values: { p: tools.below(1000) } }];
    return [
      'telemetry',
      bytesOf({ v: 1, ...tools.origin, epoch: 'fork', seq: 1 + tools.below(50), samples }),
    ];
  },
  'compressed bomb': ({ size }) => ['telemetry', zstdCompressSync(Buffer.alloc(1 + size(20_000_000)))],
  'compressed points': (tools) => {
    const text = batchOf(tools, [{ device: 'd', ts: 1, values: pointsOf(1 + tools.size(30_000), 1) }]);
    return ['telemetry', zstdCompressSync(text)];
  },
  'compressed damage': ({ stream, below }) => {
    const [damaged] = mutations(zstdCompressSync(stream.payload(1 + below(20))), 1, below(1e9));
    return ['telemetry', damaged!];
  },
  'mutated batch': ({ stream, below }) => {
    const [damaged] = mutations(stream.payload(1 + below(20)), 1, below(1e9));
    return ['telemetry', damaged!];
  },
  'another’s batch': ({ below, freshEpoch }) => {
    const victim = new SealedStream({ tenant: 'beta', gateway: 'beta_gw-0001' }, freshEpoch());
    return ['telemetry', victim.appendMany(1 + below(3)).payload(1)];
  },
  'control characters': (tools) => {
    const values = { p: '\u009b2J\u202e\u0000\ud800', '\u2028': 1 };
    return ['telemetry', batchOf(tools, [{ device: 'd', ts: 1, values }])];
  },
  'unsigned loss': ({ stream, below }) => {
    const from = 1 + below(19);
    return ['event', bytesOf(stream.lost('dropped', from, from + below(20 - from)))];
  },
  'signed nonsense': async ({ origin, below, sign }) => {
    const claims = {
      v: 1,
      ...origin,
      epoch: 'e',
      seq: below(1e9),
      chain: hash,
      samples: 1,
      from: null,
      to: null,
    };
    const strange = [
      { at: below(2e12) },
      { at: -1 },
      { at: 1, extra: pointsOf(300, 1) },
      { v: 2 },
      { chain: 'x' },
    ];
    return ['checkpoint', Buffer.from(await sign({ ...claims, ...strange[below(strange.length)] }))];
  },
  'signed depth': async (tools) => {
    const entry = JSON.parse(`{"a":${'{"a":'.repeat(12)}1${'}'.repeat(12)}}`) as Record<string, unknown>;
    const event = { v: 1, ...tools.origin, id: tools.freshEpoch(), at: 1, kind: 'audit', entry };
    const proof = await tools.sign({ ...event, signedAt: tools.below(2e12) });
    return ['event', bytesOf({ ...event, proof })];
  },
  'signed, of what came': async ({ stream, below, sign }) => {
    return ['checkpoint', Buffer.from(await sign(stream.claims(1 + below(20))))];
  },
  'signature mutated': async ({ stream, sign, below }) => {
    const [damaged] = mutations(Buffer.from(await sign(stream.claims())), 1, below(1e9));
    return ['checkpoint', damaged!];
  },
} satisfies Record<string, Maker>;
