import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatFault } from '../../src/config/fault-line.ts';
import { parseConfig } from '../../src/config/load-config.ts';
import { describeDevice } from '../../src/fieldbus/device-description.ts';
import type { DeviceOptions } from '../../src/fieldbus/options.ts';
import type { PointDescription } from '../../src/reading/point.ts';

const head = `silos:
  - name: north
    identity: { certificate: ./north.crt, privateKey: ./north.key, trust: ./tenant-ca.crt }
    uplink: { url: 'mqtts://broker.example.com', ca: ./broker-ca.crt }
buses:
  - { name: rs485, kind: modbus-rtu, port: /dev/ttyUSB0 }
  - { name: wind, kind: serial, port: /dev/ttyUSB1, baudRate: 4800 }
devices:
`;

function parse(device: string): { device: DeviceOptions } | { faults: string } {
  const result = parseConfig('/etc/merestone/merestone.yaml', `${head}  - ${device}\n`);
  if ('faults' in result) return { faults: result.faults.map(formatFault).join('\n') };
  return { device: result.options.devices[0]! };
}

/** The points of a device as described to its owner. */
function pointsOf(device: string): Record<string, PointDescription> {
  const parsed = parse(device);
  if ('faults' in parsed) assert.fail(parsed.faults);
  return Object.fromEntries(describeDevice(parsed.device).points.map((point) => [point.name, point]));
}

const modbus = (keys: string): string =>
  `{ name: d, bus: rs485, unitId: 1, points: [{ name: p, table: holding, address: 0, ${keys} }] }`;
const serial = (keys: string): string =>
  `{ name: d, bus: wind, protocol: { messages: [{ pattern: '(?<p>x)', fields: [{ name: p, ${keys} }] }] } }`;

describe('min and max of a point', () => {
  for (const [kind, device] of [
    ['Modbus', modbus],
    ['serial', serial],
  ] as const) {
    it(`are taken for ${kind}, exact beyond 2^53, and part of the description`, () => {
      const range = (keys: string): unknown => {
        const { min, max } = pointsOf(device(keys))['p']!;
        return [min, max];
      };
      assert.deepEqual(range('type: int16, min: -40, max: 85.5'), [-40, 85.5]);
      assert.deepEqual(range('type: float64, max: 1e6'), [undefined, 1_000_000]);
      assert.deepEqual(range("type: uint64, min: '7', max: '18446744073709551615'"), [
        7,
        '18446744073709551615',
      ]);
    });

    for (const [what, keys, fault] of [
      [
        'a min above the max',
        'type: int16, min: 5, max: 4',
        /min 5 is above max 4; no value could be plausible/,
      ],
      [
        'a min above the max beyond 2^53',
        "type: int64, min: '9007199254740994', max: '9007199254740993'",
        /is above max/,
      ],
      ['a min on text', 'type: string, min: 1', /'min' does not go with type 'string'/],
      ['a max on bool', 'type: bool, max: 1', /'max' does not go with type 'bool'/],
      ['a max on names', "type: int16, max: 1, enum: { '1': on }", /'max' does not go with 'enum'/],
      ['a text that is no number', 'type: int16, max: high', /"high" is no limit; write a number/],
      ['no number at all', 'type: int16, max: .nan', /no limit|max/],
      [
        'an integer that a double rounds',
        'type: int64, max: 9007199254740993',
        /beyond 2\^53 is not exact.*quotes/,
      ],
    ] as const) {
      it(`refuse ${what} for ${kind}`, () => {
        const length = kind === 'Modbus' && keys.includes('string') ? ', length: 1' : '';
        const parsed = parse(device(keys + length));
        assert.match('faults' in parsed ? parsed.faults : 'no fault', fault);
      });
    }
  }

  it('are for no bit and no bit field', () => {
    for (const keys of ['table: coil, max: 1', 'table: holding, type: bits, bits: { 0: a }, max: 1']) {
      const parsed = parse(`{ name: d, bus: rs485, unitId: 1, points: [{ name: p, address: 0, ${keys} }] }`);
      assert.match('faults' in parsed ? parsed.faults : 'no fault', /'max' does not go with type 'b/);
    }
  });

  it('are the same wherever a sensor sends the point', () => {
    const message = (max: number): string =>
      `{ pattern: '${max}(?<p>x)', fields: [{ name: p, max: ${max} }] }`;
    const parsed = parse(`{ name: d, bus: wind, protocol: { messages: [${message(1)}, ${message(2)}] } }`);
    assert.match('faults' in parsed ? parsed.faults : 'no fault', /another type, unit or range/);
  });
});

describe('ranges of a device with a profile', () => {
  const meter = (keys: string): string =>
    `{ name: d, bus: rs485, unitId: 1, profile: eastron-sdm630${keys} }`;

  it('are the profile’s by default', () => {
    const { voltage_l1, power } = pointsOf(meter(''));
    assert.deepEqual([voltage_l1?.min, voltage_l1?.max], [0, 1000]);
    assert.ok(Number(power?.min) < 0, 'a meter that feeds back measures below 0');
  });

  it('go before the profile’s, by point before unit, and an empty one removes the range', () => {
    const points = pointsOf(meter(', ranges: { V: { max: 24000 }, voltage_l2: { min: 100 }, A: {} }'));
    const range = (name: string): unknown => [points[name]?.min, points[name]?.max];
    assert.deepEqual(range('voltage_l1'), [undefined, 24_000]);
    assert.deepEqual(range('voltage_l2'), [100, undefined]);
    assert.deepEqual(range('current_l1'), [undefined, undefined]);
    assert.deepEqual(range('frequency'), [0, 100]);
  });

  it('are for serial and for SunSpec alike', () => {
    const mast = pointsOf('{ name: d, bus: wind, profile: nmea-0183, ranges: { m/s: { max: 80 } } }');
    assert.deepEqual([mast['wind_speed']?.min, mast['wind_speed']?.max], [undefined, 80]);
    assert.equal(mast['air_temperature']?.max, 200);
    const roof = pointsOf(
      '{ name: d, bus: rs485, unitId: 1, profile: sunspec-inverter, ranges: { W: { max: 5000 } } }',
    );
    assert.equal(roof['power']?.max, 5000);
    assert.equal(roof['frequency']?.max, 100);
    assert.equal(roof['state']?.max, undefined);
  });

  for (const [what, device, fault] of [
    [
      'a point or unit that the profile doesn’t have',
      meter(', ranges: { volts: { max: 1 } }'),
      /has no point and no unit 'volts'; its units are V A W/,
    ],
    [
      'a name that every object has',
      meter(', ranges: { constructor: { max: 1 } }'),
      /has no point and no unit 'constructor'/,
    ],
    ['a min above the max', meter(', ranges: { V: { min: 2, max: 1 } }'), /min 2 is above max 1/],
    ['what is no range', meter(', ranges: { V: 5 }'), /5 is no mapping/],
    [
      'ranges without a profile',
      modbus('type: int16').replace('points', 'ranges: { V: { max: 1 } }, points'),
      /'ranges' is for a profile/,
    ],
  ] as const) {
    it(`refuse ${what}`, () => {
      const parsed = parse(device);
      assert.match('faults' in parsed ? parsed.faults : 'no fault', fault);
    });
  }
});

describe('identify of a device', () => {
  const identifyOf = (device: string): unknown => {
    const parsed = parse(device);
    return 'device' in parsed ? parsed.device.identify : parsed.faults;
  };

  it('is what its profile has, unless it is off', () => {
    for (const device of [
      '{ name: d, bus: rs485, unitId: 1, profile: eastron-sdm630 }',
      '{ name: d, bus: wind, profile: nmea-0183 }',
    ]) {
      assert.equal(typeof identifyOf(device), 'object');
      assert.equal(identifyOf(device.replace(' }', ', identify: off }')), 'off');
    }
  });

  it('is on or off', () => {
    const device = '{ name: d, bus: rs485, unitId: 1, profile: eastron-sdm630, identify: maybe }';
    assert.match(String(identifyOf(device)), /maybe.*on.*off/);
  });
});
