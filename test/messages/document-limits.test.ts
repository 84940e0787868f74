import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import { MerestoneError } from '../../src/base/error.ts';
import {
  decodeBatch,
  decodeClaims,
  decodeEvent,
  decodeMeta,
  decodeStatus,
} from '../../src/messages/decoding.ts';
import {
  batchRowsMax,
  batchSamplesMax,
  depthMax,
  documentLimits,
  metaDevicesMax,
  metaPointsMax,
  nameTextMax,
  samplePointsMax,
  unitTextMax,
  valueTextMax,
  wordsTextMax,
} from '../../src/messages/document-limits.ts';
import fc from 'fast-check';
import { isSample } from '../../src/messages/sample-check.ts';
import { sampleSchema } from '../../src/messages/message-schema.ts';
import { SealedStream } from '../support/sealed-stream.ts';

const origin = { tenant: 'acme', gateway: 'acme_gw-0001' };
const stream = new SealedStream(origin).appendMany(3);
const hash = 'a'.repeat(64);

const batch = JSON.parse(stream.payload(1).toString()) as { samples: object[] };
const status = { v: 1, ...origin, online: true, since: 0, version: '1', epoch: stream.epoch };
const meta = { v: 1, ...origin, at: 0, version: '1', configSha256: hash, devices: [] as object[] };
const event = stream.event({ kind: 'audit', entry: { at: 1 } });

type Decode = (origin: { tenant: string; gateway: string }, message: Uint8Array) => unknown;
const documents: [name: keyof typeof documentLimits, example: object, decode: Decode][] = [
  ['telemetry', batch, decodeBatch],
  ['status', status, decodeStatus],
  ['meta', meta, decodeMeta],
  ['event', event, decodeEvent],
  ['checkpoint', stream.claims(), decodeClaims],
];

const bytesOf = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));

/** The JSON of `document` with one more member that has these bytes. */
function withMember(document: object, json: string): Buffer {
  return Buffer.from(`${JSON.stringify(document).slice(0, -1)},"more":${json}}`);
}

function refusal(decode: Decode, message: Uint8Array): string {
  try {
    decode(origin, message);
  } catch (error) {
    assert.ok(error instanceof MerestoneError, String(error));
    assert.equal(error.code, 'StreamInvalid');
    assert.ok(error.message.length < 400, 'a reason is short, whatever the message has');
    return error.message;
  }
  assert.fail('it was accepted');
}

/** CPU of this thread, so that a busy machine changes nothing. */
function cpuMsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

describe('every document of the stream', () => {
  for (const [name, example, decode] of documents) {
    const { bytesMax, elementsMax } = documentLimits[name];
    const attacks: [string, string, RegExp][] = [
      ['10,000 nested lists', '['.repeat(10_000) + ']'.repeat(10_000), /deeper than 16|longer than/],
      [
        'objects nested 10,000 deep',
        '{"a":'.repeat(5000) + '1' + '}'.repeat(5000),
        /deeper than 16|longer than/,
      ],
      ['nested lists that never close', '['.repeat(10_000), /deeper than 16 levels/],
      ['a number of 100 digits', '1'.repeat(100), /more than 64 digits/],
      [
        'more items than any honest one',
        `[${'0,'.repeat(elementsMax)}0]`,
        /more than \d+ (members|items)|longer than/,
      ],
      ['a text that is too long', `"${'x'.repeat(bytesMax)}"`, /longer than \d+ bytes/],
    ];
    for (const [what, json, reason] of attacks) {
      it(`of ${name} is refused with ${what}`, () => {
        assert.match(refusal(decode, withMember(example, json)), reason);
      });
    }

    it(`of ${name} costs no more than a fraction of a second, for any content`, () => {
      const filled = (unit: string, end: string): Buffer => {
        const count = Math.min(Math.floor((bytesMax - 1000) / unit.length), elementsMax - 10);
        return withMember(example, `[${unit.repeat(count)}${end}]`);
      };
      const names = (n: number): string => `{${Array.from({ length: n }, (_, i) => `"n${i}":1`).join()}}`;
      const costly = [
        filled('{},', '0'),
        filled('[],', '0'),
        filled('"\\u0000",', '0'),
        filled('1152921504606846976,', '0'),
        withMember(example, names(Math.min(elementsMax - 10, Math.floor(bytesMax / 12)))),
      ];
      for (const message of costly) {
        const ms = cpuMsOf(() => {
          try {
            decode(origin, message);
          } catch (error) {
            assert.ok(error instanceof MerestoneError, String(error));
          }
        });
        assert.ok(ms < 2000, `${ms} ms for ${message.length} bytes`);
      }
    });
  }

  it('may nest as deep as the limit says', () => {
    const levels = depthMax - 2;
    const entry = JSON.parse('{"a":'.repeat(levels) + '1' + '}'.repeat(levels)) as Record<string, unknown>;
    assert.ok(decodeEvent(origin, bytesOf({ ...event, entry })));
    assert.match(refusal(decodeEvent, bytesOf({ ...event, entry: { a: { a: entry } } })), /deeper/);
  });
});

describe('the bounds of a batch', () => {
  const points = (count: number, value: unknown = 1): Record<string, unknown> =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, value]));
  const sample = (changes: object = {}): object => ({ device: 'd', ts: 1, values: { p: 1 }, ...changes });
  const batchOf = (...samples: object[]): Buffer => bytesOf({ ...batch, samples });
  const full = Array.from({ length: batchRowsMax / samplePointsMax }, () =>
    sample({ values: points(samplePointsMax) }),
  );

  it('let the largest honest batch through', () => {
    for (const message of [
      batchOf(...Array.from({ length: batchSamplesMax }, () => sample())),
      batchOf(...full),
      batchOf(sample({ device: 'd'.repeat(nameTextMax), values: { p: 'x'.repeat(valueTextMax) } })),
    ]) {
      assert.ok(decodeBatch(origin, message));
      assert.ok(decodeBatch(origin, zstdCompressSync(message)));
    }
  });

  const over: [string, Buffer, RegExp][] = [
    [
      'a sample too many',
      batchOf(...Array.from({ length: batchSamplesMax + 1 }, () => sample())),
      /^samples: .*10000/,
    ],
    ['a row too many', batchOf(...full, sample()), /more than 20000 values and qualities/],
    [
      'qualities that are rows',
      batchOf(...full.with(0, sample({ values: {}, quality: points(2000, 'crc') })), sample()),
      /20000/,
    ],
    [
      'a point too many',
      batchOf(sample({ values: points(samplePointsMax + 1) })),
      /^samples\[0\]\.values: .*2000/,
    ],
    [
      'a quality too many',
      batchOf(sample({ quality: points(samplePointsMax + 1) })),
      /^samples\[0\]\.quality: .*2000/,
    ],
    ['a device’s name', batchOf(sample({ device: 'd'.repeat(nameTextMax + 1) })), /^samples\[0\]\.device/],
    ['a point’s name', batchOf(sample({ values: { ['p'.repeat(nameTextMax + 1)]: 1 } })), /Invalid key/],
    ['a text', batchOf(sample({ values: { p: 'x'.repeat(valueTextMax + 1) } })), /^samples\[0\]\.values\.p/],
    [
      '9,000 faults',
      bytesOf({ ...batch, samples: Array.from({ length: 9000 }, () => 0) }),
      /^samples\[0\]: /,
    ],
    [
      'unknown members of a sample',
      batchOf({ ...sample(), ...points(5000) }),
      /^samples\[0\]: has 5003 members/,
    ],
    ['unknown members', bytesOf({ ...batch, ...points(5000) }), /has 5006 members, most of them unknown/],
  ];
  for (const [what, message, reason] of over) {
    it(`refuse ${what}`, () => {
      assert.match(refusal(decodeBatch, message), reason);
      assert.match(refusal(decodeBatch, zstdCompressSync(message)), reason);
    });
  }

  it('refuse 1,620 bytes of zstd that are 1.5 million points, before anything is built', () => {
    const row = '"p":1,';
    const text = `{"v":1,"samples":[{"values":{${row.repeat(1_500_000)}"q":1}}]}`;
    const message = zstdCompressSync(Buffer.from(text), {
      params: { [constants.ZSTD_c_compressionLevel]: 19 },
    });
    assert.ok(message.length < 4000, String(message.length));
    const before = process.memoryUsage().arrayBuffers;
    assert.match(refusal(decodeBatch, message), /unpacks to more than 8388608 bytes/);
    assert.ok(process.memoryUsage().arrayBuffers - before < 3 * documentLimits.telemetry.bytesMax);
  });

  it('refuse a frame that wants a window of 128 MiB', () => {
    const params = { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_contentSizeFlag]: 0 };
    const message = zstdCompressSync(stream.payload(1), { params });
    // Node leaves small windows where the whole input is known: say it in the frame's header by hand.
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3]);
    const block = Buffer.from([0x01, 0x00, 0x00]);
    assert.ok(message.length > 0);
    assert.match(refusal(decodeBatch, Buffer.concat([header, block])), /zstd is damaged/);
  });
});

describe('the bounds of meta, events and status', () => {
  const device = (count: number, changes: object = {}): object => ({
    name: 'd',
    points: Array.from({ length: count }, (_, n) => ({
      name: `p${n}`,
      type: 'float32',
      unit: 'kWh',
      ...changes,
    })),
  });
  const metaOf = (...devices: object[]): Buffer => bytesOf({ ...meta, devices });
  const full = Array.from({ length: metaPointsMax / samplePointsMax }, () => device(samplePointsMax));

  it('let the largest honest ones through', () => {
    assert.ok(decodeMeta(origin, metaOf(...full)));
    assert.ok(decodeMeta(origin, metaOf(...Array.from({ length: metaDevicesMax }, () => device(1)))));
    assert.ok(decodeMeta(origin, metaOf(device(1, { unit: 'u'.repeat(unitTextMax) }))));
    assert.ok(decodeEvent(origin, bytesOf(stream.lost('dropped', 1, 2, 'r'.repeat(wordsTextMax)))));
  });

  const over: [string, Decode, Buffer, RegExp][] = [
    [
      'a unit of 600,000 characters',
      decodeMeta,
      metaOf(device(1, { unit: 'u'.repeat(600_000) })),
      /^devices\[0\]\.points\[0\]\.unit/,
    ],
    [
      'a point too many of one device',
      decodeMeta,
      metaOf(device(samplePointsMax + 1)),
      /^devices\[0\]\.points: .*2000/,
    ],
    ['a point too many in all', decodeMeta, metaOf(...full, device(1)), /more than 20000 points/],
    [
      'a device too many',
      decodeMeta,
      metaOf(...Array.from({ length: metaDevicesMax + 1 }, () => device(0))),
      /^devices: .*1000/,
    ],
    [
      'a profile’s name',
      decodeMeta,
      metaOf({ ...device(1), profile: 'p'.repeat(nameTextMax + 1) }),
      /profile/,
    ],
    ['a version', decodeMeta, bytesOf({ ...meta, version: 'v'.repeat(65) }), /^version/],
    ['a version in a status', decodeStatus, bytesOf({ ...status, version: 'v'.repeat(65) }), /^version/],
    ['a reason', decodeEvent, bytesOf(stream.lost('dropped', 1, 2, 'r'.repeat(wordsTextMax + 1))), /^reason/],
    ['a kind', decodeEvent, bytesOf({ ...event, kind: 'k'.repeat(nameTextMax + 1) }), /^kind/],
    [
      'a quota’s name',
      decodeEvent,
      bytesOf(stream.event({ kind: 'quota', quota: 'q'.repeat(65), limit: 1, state: 'reached' })),
      /^quota/,
    ],
  ];
  for (const [what, decode, message, reason] of over) {
    it(`refuse ${what}`, () => assert.match(refusal(decode, message), reason));
  }
});

describe('the quick check of a sample', () => {
  /** Mostly good, so that one fault decides. */
  const mostly = (good: fc.Arbitrary<unknown>, bad: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    fc.oneof({ weight: 20, arbitrary: good }, { weight: 1, arbitrary: bad });
  const names = mostly(
    fc.constantFrom('p', 'power', 'Käse'),
    fc.constantFrom('', 'a\u0080', 'x'.repeat(257)),
  );
  const memberOf = (value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    fc
      .array(fc.tuple(names as fc.Arbitrary<string>, value), { maxLength: 3 })
      .map((all) => Object.fromEntries(all));
  const value = mostly(
    fc.oneof(fc.integer(), fc.boolean(), fc.string()),
    fc.constantFrom(null, 'x'.repeat(4097), []),
  );
  const quality = mostly(
    fc.constantFrom('crc', 'timeout', 'exception:2'),
    fc.constantFrom('exception:0', 'bad', 1),
  );
  const samples = fc.record(
    {
      device: mostly(fc.constant('meter'), fc.constantFrom('', 1, '\n')),
      ts: mostly(fc.nat(), fc.constantFrom(253_402_300_799_999, 253_402_300_800_000, -1, 0.5, '1')),
      clock: mostly(fc.constant('estimated'), fc.constantFrom('good', null)),
      values: mostly(memberOf(value), fc.constantFrom([], null)),
      quality: mostly(memberOf(quality), fc.constantFrom([], null)),
    },
    { requiredKeys: ['device', 'ts', 'values'] },
  );

  it('takes nothing that the schema does not, and all that gateways make', () => {
    let taken = 0;
    fc.assert(
      fc.property(
        fc.oneof({ weight: 9, arbitrary: samples }, { weight: 1, arbitrary: fc.anything() }),
        (value) => {
          const json = JSON.stringify(value) as string | undefined;
          const sample: unknown = json === undefined ? undefined : JSON.parse(json);
          if (!isSample(sample)) return;
          taken++;
          assert.deepEqual(sampleSchema.parse(sample), sample);
        },
      ),
      { numRuns: 5000 },
    );
    assert.ok(taken > 1000 && taken < 4500, String(taken));
    for (const payload of stream.payloads) {
      const { samples } = JSON.parse(payload.toString()) as { samples: unknown[] };
      assert.ok(samples.every(isSample));
    }
  });
});
