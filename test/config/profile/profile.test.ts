import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MerestoneError } from '../../../src/base/error.ts';
import { expandProfile } from '../../../src/config/profile/expansion.ts';
import { loadProfile, parseProfile, profileNames } from '../../../src/config/profile/profile.ts';
import { profileJsonSchema } from '../../../src/config/profile/profile-schema.ts';
import { mutations } from '../../support/mutation.ts';
import { parseTranscript } from '../../support/transcript.ts';
import { builtInProfiles } from './built-in.ts';

const config = new URL('../../../config/', import.meta.url);
const transcripts = new URL('../../transcripts/', import.meta.url);

const meter = `profile: meter
vendor: Example
models: [M1]
description: An example
interface: modbus-rtu
identify:
  - { table: holding, address: 0, type: uint16, equals: 7 }
pointDefaults: { table: input, type: uint16 }
points:
  - { name: voltage, address: 0x10, scale: 0.1, unit: V }
  - { name: energy, address: 0x20, type: uint32, class: slow }
  - { name: model, address: 0x30, type: string, length: 4, class: static }
sources:
  - { title: Data sheet }
`;

const gauge = `profile: gauge
vendor: Example
models: [G1]
description: An example
interface: serial
identify: '^{address}'
settings:
  address: { default: '0', pattern: '[0-9]', description: one digit }
protocol:
  request: '{address}?'
  messages:
    - pattern: '^{address}(?<level>[+-][\\d.]+),(?<state>\\w+)'
      fields: [{ name: level, unit: m }, { name: state, type: string }]
sources:
  - { title: Data sheet }
`;

/** The description of the error for the text. */
function refusal(text: string, name = 'meter'): string {
  try {
    parseProfile(`/profiles/${name}.yaml`, text);
  } catch (error) {
    assert.ok(error instanceof MerestoneError, String(error));
    assert.equal(error.code, 'ProfileInvalid');
    return error.describe();
  }
  return assert.fail('it was not refused');
}

describe('the built-in profiles', () => {
  for (const name of profileNames([builtInProfiles])) {
    it(`${name} has its sources and a golden frame`, () => {
      const { shape } = loadProfile(name, [builtInProfiles]);
      assert.ok(
        shape.sources.some(({ url }) => url !== undefined),
        'a source that can be looked up',
      );
      const transcript = parseTranscript(readFileSync(new URL(`${name}.txt`, transcripts), 'utf8'));
      assert.ok(transcript.steps.some(({ kind }) => kind === 'send') && transcript.expected.length > 0);
    });
  }

  it('are those that were promised', () => {
    const promised =
      'abb-b23-b24 carlo-gavazzi-em24 carlo-gavazzi-em24-ethernet carlo-gavazzi-em340 dsmr-p1 dsmr-p1-v2 eastron-sdm120 eastron-sdm230 eastron-sdm630 iec-62056-21 mt-sics nmea-0183 peacefair-pzem-016 pms3003 pms5003 pms5003st pms5003t schneider-iem3000 sdi-12 sdi-12-crc sds011 sunspec-inverter sunspec-meter xy-md02';
    assert.equal(profileNames([builtInProfiles]).join(' '), promised);
    assert.deepEqual(
      profileNames([builtInProfiles]),
      readdirSync(builtInProfiles)
        .map((file) => file.replace('.yaml', ''))
        .sort(),
    );
  });

  it('give units as RFC 8428 and RFC 8798 have them', () => {
    const registered = new Set(
      'm kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s l/s W/m2 cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m B VA VAs var vars J/m kg/m3 deg NTU ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm ug/m3 mm/h m/h ppm /100 /1000 hPa mm cm km km/h'.split(
        ' ',
      ),
    );
    for (const name of profileNames([builtInProfiles])) {
      const expansion = expandProfile(loadProfile(name, [builtInProfiles]), {});
      const points =
        expansion.kind === 'serial'
          ? expansion.protocol.messages.flatMap(({ fields }) => fields)
          : [...expansion.points, ...(expansion.discover?.points ?? [])];
      for (const { name: point, unit } of points) {
        assert.ok(unit === undefined || registered.has(unit), `${name}: ${point} is in ${unit}`);
      }
    }
  });

  it('say what is plausible, for every number that is in a unit', () => {
    for (const name of profileNames([builtInProfiles])) {
      const expansion = expandProfile(loadProfile(name, [builtInProfiles]), {});
      const points =
        expansion.kind === 'serial'
          ? expansion.protocol.messages.flatMap(({ fields }) => fields)
          : [...expansion.points, ...(expansion.discover?.points ?? [])];
      for (const { name: point, unit, min, max } of points) {
        if (unit === undefined) continue;
        assert.ok(min !== undefined && max !== undefined && min < max, `${name}: ${point} has a range`);
        if (unit === 'V') assert.ok(max < 171_797_795.8, `${name}: ${point} is never 171,797,795.8 V`);
      }
    }
  });

  it('name the models that they are not for, with a profile that is there, and the docs list them', () => {
    const names = profileNames([builtInProfiles]);
    const docs = readFileSync(new URL('../docs/profiles.md', config), 'utf8');
    for (const name of names) {
      const { notFor = [], models } = loadProfile(name, [builtInProfiles]).shape;
      assert.ok(notFor.length > 0, name);
      for (const { model, because, use } of notFor) {
        assert.ok(use === undefined || (names.includes(use) && use !== name), `${name}: ${use}`);
        assert.ok(!models.includes(model), `${name}: ${model}`);
        const remedy = use === undefined ? '' : `: \`${use}\``;
        assert.ok(docs.includes(`| \`${name}\` | ${model} | ${because}${remedy} |`), `${name}: ${model}`);
      }
    }
  });

  it('are what the published JSON Schema says', () => {
    const published: unknown = JSON.parse(readFileSync(new URL('profile.schema.json', config), 'utf8'));
    assert.deepEqual(
      published,
      JSON.parse(JSON.stringify(profileJsonSchema())),
      'run node scripts/profile-schema.ts',
    );
  });
});

describe('loading a profile', () => {
  let own = '';
  before(() => {
    own = mkdtempSync(join(tmpdir(), 'merestone-profiles-'));
    writeFileSync(join(own, 'meter.yaml'), meter);
    writeFileSync(join(own, 'xy-md02.yaml'), meter.replace('profile: meter', 'profile: xy-md02'));
  });
  after(() => rmSync(own, { recursive: true }));

  it('finds it in any of the folders, with the hash of its text', () => {
    const profile = loadProfile('meter', [builtInProfiles, join(own, 'none'), own]);
    assert.equal(profile.file, join(own, 'meter.yaml'));
    assert.equal(profile.sha256, createHash('sha256').update(meter).digest('hex'));
  });

  it('refuses a file that would take the place of a built-in one', () => {
    assert.throws(
      () => loadProfile('xy-md02', [builtInProfiles, own]),
      /is there twice.*another name|is there twice/,
    );
  });

  for (const [asked, hint] of [
    ['eastron-sdm360', 'there is eastron-sdm120, eastron-sdm230, eastron-sdm630, abb-b23-b24'],
    ['eastron-sdm72', 'there is eastron-sdm120, eastron-sdm230, eastron-sdm630, abb-b23-b24'],
    ['eastrom-sdm630', 'there is eastron-sdm120, eastron-sdm230, eastron-sdm630, abb-b23-b24'],
    ['sdm630', 'there is eastron-sdm630, abb-b23-b24'],
    ['carlo-gavazzi-em24x', 'there is carlo-gavazzi-em24, carlo-gavazzi-em24-ethernet, carlo-gavazzi-em340'],
    ['../../etc/passwd', 'there is abb-b23-b24'],
    ['', 'there is abb-b23-b24'],
  ] as const) {
    it(`says what it may have been that was meant by '${asked}'`, () => {
      assert.throws(
        () => loadProfile(asked, [builtInProfiles]),
        (error) => error instanceof MerestoneError && error.describe().includes(hint),
      );
    });
  }

  for (const [what, text, wanted] of [
    ['text that is no YAML', `${meter}\n  - [`, /^\/profiles\/meter\.yaml:\d+:\d+: /],
    ['a misspelt key', meter.replace('vendor:', 'vender:'), /meter\.yaml:2:1: unknown key 'vender'/],
    ['a misspelt key of a point', meter.replace('scale: 0.1', 'scael: 0.1'), /:10:37: unknown key 'scael'/],
    [
      'a name that is not the file’s',
      meter.replace('profile: meter', 'profile: metre'),
      /:1:1: 'metre' is not the file's name; write meter/,
    ],
    ['no sources', meter.replace(/sources:\n.*\n/, ''), /sources/],
    [
      'a point without a type',
      meter.replace(', type: uint16 }\npoints', ' }\npoints'),
      /'type' is missing; say how the registers are read/,
    ],
    ['a string without a length', meter.replace(', length: 4', ''), /a string needs its 'length'/],
    ['an address beyond the last', meter.replace('0x20', '0x20000'), /:11:21: 'points\.1\.address'/],
    [
      'two points of one name',
      meter.replace('name: energy', 'name: voltage'),
      /point 'voltage' is named twice/,
    ],
    [
      'a scale factor that is not there',
      meter.replace('scale: 0.1', 'scaleFrom: volt_sf'),
      /there is no other point 'volt_sf' to scale by/,
    ],
    [
      'a check with nothing to compare',
      meter.replace(', equals: 7', ''),
      /needs one of equals, oneOf and between/,
    ],
    ['text in a range', meter.replace('scale: 0.1', 'max: high'), /"high" is no limit/],
    [
      'a range of text',
      meter.replace('length: 4', 'length: 4, max: 1'),
      /:12:.*'max' does not go with type 'string'/,
    ],
    ['a min above the max', meter.replace('scale: 0.1', 'min: 2, max: 1'), /:10:37: min 2 is above max 1/],
    [
      'a range of a unit that no point has',
      meter.replace('points:', 'ranges: { Volt: { max: 1 } }\npoints:'),
      /:9:11: no point of the profile is in Volt/,
    ],
    ['a pattern for a number', meter.replace('equals: 7', "matches: '7'"), /:7:.*'matches' is for text/],
    [
      'a check of an object that does not exist',
      meter.replace(/- { table: holding.*/, '- { object: 9, equals: x }'),
      /:7:/,
    ],
    [
      'a sensor without a protocol',
      gauge.replace(/protocol:[\s\S]*sources/, 'sources').replace('gauge', 'meter'),
      /'protocol' is missing/,
    ],
  ] as const) {
    it(`refuses ${what}, with the place`, () => {
      assert.match(refusal(text), wanted);
    });
  }

  for (const [what, change, wanted] of [
    ['a bad pattern', ['(?<level>', '(?<level'], /gauge\.yaml:12:7: the pattern .* looks ahead or behind/],
    ['a field without its group', ['name: level', 'name: depth'], /the pattern has no group 'depth'/],
    [
      'a range of a unit that no field has',
      ['settings:', 'ranges: { V: { max: 1 } }\nsettings:'],
      /:7:11: no point of the profile is in V/,
    ],
    [
      'a bad pattern of another device',
      ["identify: '^{address}'", "identify: { pattern: x, others: [{ pattern: '(', is: y }] }"],
      /:6:/,
    ],
    ['a misspelt key of a message', ['fields:', 'feilds:'], /unknown key 'feilds'/],
    ['a misspelt type', ['type: string', 'type: text'], /:13:/],
    [
      'a duration without a unit',
      ["request: '{address}?'", "request: [{ send: '?', timeout: 5 }]"],
      /5 is not a duration/,
    ],
    [
      'a group that no answer gives',
      ["request: '{address}?'", "request: [{ send: '{serial}' }]"],
      /no earlier answer has the group 'serial'/,
    ],
    [
      'patterns that could cost too much',
      ["request: '{address}?'", 'framing: { by: line, bytesMax: 8192 }'],
      null,
    ],
  ] as const) {
    it(`refuses ${what} in a protocol, with the place`, () => {
      const text = gauge.replace(change[0], change[1]);
      if (wanted !== null) return assert.match(refusal(text, 'gauge'), wanted);
      assert.match(
        refusal(
          text.replace(
            '(?<level>[+-][\\d.]+)',
            '(?<level>[+-](?:[\\d.]{200}){2})(a)?(b)?(c)?(d)?(e)?(f)?(g)?(h)?(i)?',
          ),
          'gauge',
        ),
        /could take \d+ steps/,
      );
    });
  }
});

describe('a damaged profile', () => {
  for (const name of ['eastron-sdm120', 'sunspec-meter', 'nmea-0183', 'iec-62056-21']) {
    it(`of ${name} is read or refused with its place, never anything else`, () => {
      const file = join(builtInProfiles, `${name}.yaml`);
      let refused = 0;
      for (const text of mutations(readFileSync(file), 120, name.length)) {
        try {
          expandProfile(parseProfile(file, text.toString()), {});
        } catch (error) {
          assert.ok(error instanceof MerestoneError, `${String(error)} for ${text.toString()}`);
          assert.match(error.describe(), /^\/.*\.yaml:\d+:\d+: .+; .+ \(E203\)$/);
          refused += 1;
        }
      }
      assert.ok(refused > 25, `${refused} refused`);
    });
  }

  for (const [what, text] of [
    ['nesting without end', '['.repeat(20_000)],
    [
      'aliases of aliases',
      Array.from({ length: 30 }, (_, n) => `a${n}: &a${n} [*a${n - 1}, *a${n - 1}]`)
        .join('\n')
        .replace('[*a-1, *a-1]', '[x]'),
    ],
    ['an alias of itself', 'profile: &a [*a]'],
    ['nothing', ''],
    ['binary', '\0\u0001\uffff'],
  ] as const) {
    it(`of ${what} is refused`, () => {
      assert.match(refusal(text), /^\/profiles\/meter\.yaml:\d+:\d+: /);
    });
  }
});

describe('applying a profile to a device', () => {
  const load = (text: string, name: string) => parseProfile(`/profiles/${name}.yaml`, text);

  it('reads slow and static points more rarely, never more often than the device is', () => {
    const intervals = (everyMs?: number): number[] => {
      const expansion = expandProfile(load(meter, 'meter'), everyMs === undefined ? {} : { everyMs });
      return expansion.kind === 'modbus' ? expansion.points.map((point) => point.everyMs) : [];
    };
    assert.deepEqual(intervals(), [1000, 30_000, 3_600_000]);
    assert.deepEqual(intervals(500), [500, 30_000, 3_600_000]);
    assert.deepEqual(intervals(60_000), [60_000, 60_000, 3_600_000]);
  });

  it('reads only the points that are wanted', () => {
    const expansion = expandProfile(load(meter, 'meter'), { only: ['energy'] });
    assert.deepEqual(expansion.kind === 'modbus' && expansion.points.map(({ name }) => name), ['energy']);
    const serial = expandProfile(load(gauge, 'gauge'), { only: ['state'] });
    assert.deepEqual(
      serial.kind === 'serial' && serial.protocol.messages[0]?.fields.map(({ name }) => name),
      ['state'],
    );
    assert.throws(() => expandProfile(load(meter, 'meter'), { only: ['enregy'] }), /has no point 'enregy'/);
  });

  it('keeps the scale factors of what is wanted', () => {
    const inverter = loadProfile('sunspec-inverter', [builtInProfiles]);
    const expansion = expandProfile(inverter, { only: ['power'] });
    const points = expansion.kind === 'modbus' ? (expansion.discover?.points ?? []) : [];
    assert.deepEqual([...new Set(points.map(({ name }) => name))].sort(), ['power', 'power_sf']);
  });

  it('puts the device’s settings into the protocol', () => {
    const expansion = expandProfile(load(gauge, 'gauge'), { settings: { address: 3 } });
    assert.ok(expansion.kind === 'serial');
    assert.deepEqual(expansion.protocol.request?.[0]?.send, ['3?']);
    assert.equal(expansion.protocol.messages[0]?.pattern, '^3(?<level>[+-][\\d.]+),(?<state>\\w+)');
    assert.throws(
      () => expandProfile(load(gauge, 'gauge'), { settings: { address: 'x' } }),
      /cannot take 'x' as address/,
    );
    assert.throws(
      () => expandProfile(load(gauge, 'gauge'), { settings: { adress: 3 } }),
      /has no setting 'adress'/,
    );
    assert.throws(
      () => expandProfile(load(gauge, 'gauge'), { settings: { constructor: 3 } }),
      /has no setting/,
    );
  });
});
