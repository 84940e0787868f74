import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { parse as parseYaml } from 'yaml';
import { atOnce } from '../../src/base/steps.ts';
import { rowsOf } from '../../src/backend/row.ts';
import { MerestoneError } from '../../src/base/error.ts';
import { decodeBatch, decodeEvent, decodeMeta, decodeStatus } from '../../src/messages/decoding.ts';
import type { UserProperties } from '../../src/messages/decoding.ts';
import { SealedStream } from '../support/sealed-stream.ts';
import { mutations } from '../support/mutation.ts';

const origin = { tenant: 'acme', gateway: 'acme_gw-0001' };
const epoch = '01JD3W5V2K0000000000000000';
const sample = { device: 'main-meter', ts: 1_763_842_123_456, values: { voltage_l1: 230.4 } };

function payload(changes: object = {}, sampleChanges: object = {}): Buffer {
  const samples = [{ ...sample, ...sampleChanges }];
  return Buffer.from(JSON.stringify({ v: 1, ...origin, epoch, seq: 1042, samples, ...changes }));
}

function refusal(message: Uint8Array, properties?: UserProperties): { code: string; message: string } {
  try {
    decodeBatch(origin, message, properties);
  } catch (error) {
    assert.ok(error instanceof MerestoneError, String(error));
    return { code: error.code, message: error.message };
  }
  assert.fail(`accepted: ${Buffer.from(message).toString()}`);
}

describe('a telemetry batch', () => {
  it('is taken as it was sealed', () => {
    const stream = new SealedStream(origin);
    const bytes = stream.append([
      { ...sample, quality: { power_l2: 'exception:2' }, clock: 'estimated' },
      {
        device: 'boiler',
        ts: 0,
        values: { on: true, serial: '9007199254740993', label: 'käse "x"', tiny: -1.5e-9 },
      },
    ]);
    const { batch, payload } = decodeBatch(origin, bytes);
    assert.deepEqual(batch, JSON.parse(bytes.toString()));
    assert.deepEqual(payload, bytes);
  });

  it('has an implausible point in values and in quality, and it is one row with both', () => {
    const message = payload({}, { quality: { voltage_l1: 'implausible', power: 'timeout' } });
    const { batch } = decodeBatch(origin, message);
    assert.deepEqual(batch.samples[0]?.quality, { voltage_l1: 'implausible', power: 'timeout' });
    assert.deepEqual(
      atOnce(rowsOf(batch, () => 'V')).map(({ point, value, quality }) => [point, value, quality]),
      [
        ['voltage_l1', 230.4, 'implausible'],
        ['power', null, 'timeout'],
      ],
    );
  });

  it('is unpacked where it is zstd, by property or by its first bytes', () => {
    const packed = zstdCompressSync(payload());
    for (const properties of [{}, { 'content-encoding': 'zstd' }]) {
      const received = decodeBatch(origin, packed, properties);
      assert.deepEqual(Buffer.from(received.payload), payload());
      assert.equal(received.batch.seq, 1042);
    }
  });

  const refused: [string, Uint8Array, RegExp, UserProperties?][] = [
    ['nothing', Buffer.alloc(0), /^it is not JSON$/],
    ['half a document', payload().subarray(0, 60), /^it is not JSON/],
    ['something after it', Buffer.concat([payload(), Buffer.from('{}')]), /^it is not JSON at position \d+$/],
    ['a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), payload()]), /^it is not JSON/],
    ['bytes that are no UTF-8', Buffer.concat([payload(), Buffer.from([0xff])]), /^it is not UTF-8$/],
    ['a list', Buffer.from('[]'), /expected object/],
    ['version 2', payload({ v: 2 }), /^v: /],
    ['no version', payload({ v: undefined }), /^v: /],
    ['an unknown member', payload({ cloak: 1 }), /"cloak"/],
    ['an unknown member of a sample', payload({}, { qualitz: {} }), /^samples\[0\]: .*"qualitz"/],
    ['seq 0', payload({ seq: 0 }), /^seq: /],
    ['a seq of text', payload({ seq: '1042' }), /^seq: .*number/],
    ['a broken seq', payload({ seq: 1.5 }), /^seq: /],
    ['an epoch with a slash', payload({ epoch: 'a/b' }), /^epoch: is not 1 to 64 of/],
    ['samples that are none', payload({ samples: {} }), /^samples: /],
    ['a device without a name', payload({}, { device: '' }), /^samples\[0\]\.device: is empty/],
    ['a device with a line feed', payload({}, { device: 'a\nb' }), /^samples\[0\]\.device: .*control/],
    ['a ts before 1970', payload({}, { ts: -1 }), /^samples\[0\]\.ts: /],
    ['a ts beyond all calendars', payload({}, { ts: 8.64e15 }), /^samples\[0\]\.ts: /],
    ['another clock', payload({}, { clock: 'good' }), /^samples\[0\]\.clock: /],
    ['a value of null', payload({}, { values: { a: null } }), /^samples\[0\]\.values\.a: /],
    ['a value of an object', payload({}, { values: { a: {} } }), /^samples\[0\]\.values\.a: /],
    [
      'infinity',
      Buffer.from(payload().toString().replace('230.4', '1e999')),
      /^samples\[0\]\.values\.voltage_l1: /,
    ],
    [
      'a quality that is none',
      payload({}, { quality: { b: 'broken' } }),
      /^samples\[0\]\.quality\.b: is no quality$/,
    ],
    ['exception 0', payload({}, { quality: { b: 'exception:0' } }), /is no quality$/],
    ['exception 256', payload({}, { quality: { b: 'exception:256' } }), /is no quality$/],
    ['exception 02', payload({}, { quality: { b: 'exception:02' } }), /is no quality$/],
    [
      'a point with value and quality',
      payload({}, { quality: { voltage_l1: 'crc' } }),
      /^'voltage_l1' has a value and/,
    ],
    [
      'an implausible point without its value',
      payload({}, { quality: { power: 'implausible' } }),
      /^'power' is implausible and has no value/,
    ],
    [
      'a member named twice',
      Buffer.from(payload().toString().replace('"seq":', '"seq":1,"seq":')),
      /^an object names one of its members twice$/,
    ],
    [
      'a point named twice, once in escapes',
      Buffer.from(payload().toString().replace('"voltage_l1"', '"volt\\u0061ge_l1":1,"voltage_l1"')),
      /^an object names one of its members twice$/,
    ],
    [
      'a member called __proto__',
      Buffer.from(payload().toString().replace('"voltage_l1"', '"__proto__"')),
      /^a member is called '__proto__'$/,
    ],
    [
      'a 64-bit integer as a number',
      Buffer.from(payload().toString().replace('230.4', '9007199254740993')),
      /^'voltage_l1' is 9007199254740993, which a double cannot hold; it must be a decimal string$/,
    ],
    ['another encoding', payload(), /^its content-encoding is 'gzip'/, { 'content-encoding': 'gzip' }],
    [
      'two encodings',
      zstdCompressSync(payload()),
      /^its content-encoding is/,
      { 'content-encoding': ['zstd', 'zstd'] },
    ],
    [
      'zstd that is none',
      payload(),
      /^it says content-encoding zstd and is not$/,
      { 'content-encoding': 'zstd' },
    ],
    ['damaged zstd', zstdCompressSync(payload()).subarray(0, 40), /^its zstd is damaged$/],
    ['a bomb', zstdCompressSync(Buffer.alloc(9 * 1024 * 1024)), /^it unpacks to more than 8388608 bytes$/],
    ['too much', Buffer.alloc(9 * 1024 * 1024, 0x20), /^it is longer than 8388608 bytes$/],
  ];
  for (const [what, message, reason, properties] of refused) {
    it(`is refused: ${what}`, () => {
      const { code, message: said } = refusal(message, properties);
      assert.match(said, reason);
      assert.equal(code, 'StreamInvalid');
    });
  }

  it('keeps integers that a double holds, however long', () => {
    for (const text of [
      '9007199254740992',
      '-9007199254740992',
      '1152921504606846976',
      '1e300',
      '0.1000000000000000055',
    ]) {
      const bytes = Buffer.from(payload().toString().replace('230.4', text));
      assert.equal(decodeBatch(origin, bytes).batch.samples[0]!.values['voltage_l1'], Number(text));
    }
  });

  it('is a finding where it names another tenant or gateway than its topic or its properties', () => {
    const cases: [object, UserProperties, RegExp][] = [
      [{ tenant: 'beta' }, {}, /^the topic says tenant acme, the payload says beta$/],
      [
        { gateway: 'beta_gw-0001' },
        {},
        /^the topic says gateway acme_gw-0001, the payload says beta_gw-0001$/,
      ],
      [{}, { tenant: 'beta' }, /^the property tenant says beta, the payload says acme$/],
      [{}, { seq: '1043' }, /^the property seq says 1043, the payload says 1042$/],
      [{}, { epoch: ['x', epoch] }, /^the property epoch says/],
    ];
    for (const [changes, properties, reason] of cases) {
      const { code, message } = refusal(payload(changes), properties);
      assert.equal(code, 'StreamForeign');
      assert.match(message, reason);
    }
  });

  it('never tells values in a reason', () => {
    const secret = 'top-secret-4711';
    const texts = [
      payload({}, { values: { a: [secret] } }),
      payload({ seq: secret }),
      Buffer.from(`{"v":1,"x":"${secret}" ${secret}`),
    ];
    for (const text of texts) assert.doesNotMatch(refusal(text).message, /4711/);
  });
});

describe('100,000 mutated batches', () => {
  const stream = new SealedStream(origin);
  stream.append([
    { device: 'main-meter', ts: 1_763_842_123_456, values: { v: 230.4, energy: '18446744073709551615' } },
    {
      device: 'm2',
      ts: 1_763_842_124_000,
      clock: 'estimated',
      values: { on: true },
      quality: { p: 'timeout' },
    },
  ]);

  it('are refused, or mean what they say to any other reader', () => {
    let accepted = 0;
    let checked = 0;
    for (const mutated of mutations(stream.payload(1), 80_000, 1)) {
      const text = mutated.toString();
      try {
        const { batch, payload } = decodeBatch(origin, mutated);
        accepted++;
        assert.deepEqual(batch, JSON.parse(text));
        assert.equal(Buffer.compare(Buffer.from(text), payload), 0);
        assert.equal(batch.tenant, 'acme');
        assert.equal(batch.gateway, 'acme_gw-0001');
        // Another parser, which takes no member twice, reads the same (JSON is YAML 1.2).
        if (accepted % 20 === 0) {
          assert.deepEqual(parseYaml(text, { schema: 'json', uniqueKeys: true }), batch);
          checked++;
        }
      } catch (error) {
        if (!(error instanceof MerestoneError)) throw new Error(`on ${text}`, { cause: error });
      }
    }
    assert.ok(accepted > 1000 && checked > 50, `${accepted} were accepted, ${checked} read twice`);
  });

  it('are refused, or unpack to what was checked, where they are zstd', () => {
    const packed = zstdCompressSync(stream.payload(1));
    let refused = 0;
    for (const mutated of mutations(packed, 20_000, 2)) {
      try {
        const { batch, payload } = decodeBatch(origin, mutated);
        assert.deepEqual(batch, JSON.parse(Buffer.from(payload).toString()));
      } catch (error) {
        if (!(error instanceof MerestoneError)) throw error;
        refused++;
      }
    }
    assert.ok(refused > 10_000, `${refused} were refused`);
  });
});

describe('other documents', () => {
  const stream = new SealedStream(origin).appendMany(5);
  const encode = (document: object): Buffer => Buffer.from(JSON.stringify(document));

  it('events are taken, and may say more than is known', () => {
    const lost = { ...stream.lost('dropped', 2, 3), disk: 'full' };
    assert.deepEqual(decodeEvent(origin, encode(lost)), lost);
  });

  it('events of an unknown kind mean nothing, but must be well-formed', () => {
    const event = { v: 1, ...origin, id: 'e1', at: 0, kind: 'firmware' };
    assert.equal(decodeEvent(origin, encode(event)), undefined);
    assert.throws(() => decodeEvent(origin, encode({ ...event, at: 'now' })), /^MerestoneError: at: /);
    assert.throws(() => decodeEvent(origin, encode({ ...event, tenant: 'beta' })), { code: 'StreamForeign' });
  });

  it('an event about a run that ends before it begins is refused', () => {
    const event = { ...stream.lost('quarantined', 2, 3), seqTo: 1 };
    assert.throws(() => decodeEvent(origin, encode(event)), /a run of batches from 2 to 1 is none/);
  });

  it('meta and status are held to their topic', () => {
    const meta = { v: 1, ...origin, at: 0, version: '1', configSha256: 'a'.repeat(64), devices: [] };
    assert.deepEqual(decodeMeta(origin, encode(meta)), meta);
    assert.throws(() => decodeMeta(origin, encode({ ...meta, gateway: 'x' })), { code: 'StreamForeign' });
    const status = { v: 1, ...origin, online: true, since: 0, version: '1', epoch };
    assert.deepEqual(decodeStatus(origin, encode(status)), status);
    assert.throws(() => decodeStatus(origin, encode({ ...status, tenant: 'beta' })), {
      code: 'StreamForeign',
    });
  });
});
