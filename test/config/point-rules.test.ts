import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MerestoneError } from '../../src/base/error.ts';
import { formatFault } from '../../src/config/fault-line.ts';
import { parseConfig } from '../../src/config/load-config.ts';
import { parseProfile } from '../../src/config/profile/profile.ts';

const config = (points: string): string => `silos:
  - name: north
    identity: { certificate: ./north.crt, privateKey: ./north.key, trust: ./tenant-ca.crt }
    uplink: { url: 'mqtts://broker.example.com', ca: ./broker-ca.crt }
buses:
  - { name: rs485, kind: modbus-rtu, port: /dev/ttyUSB0 }
devices:
  - { name: d, bus: rs485, unitId: 1, points: [${points}] }
`;

const profile = (points: string, defaults = '{}'): string => `profile: meter
vendor: Acme
models: [One]
description: a meter
interface: modbus-rtu
identify: [{ table: holding, address: 0, type: uint16, equals: 1 }]
pointDefaults: ${defaults}
points: [${points}]
sources: [{ title: its manual }]
`;

/** Faults that the configuration names, without their places. */
function configFaults(points: string): string {
  const result = parseConfig('/etc/merestone/merestone.yaml', config(points));
  return 'faults' in result ? result.faults.map(formatFault).join('\n') : '';
}

function profileFault(text: string): string {
  try {
    parseProfile('/profiles/meter.yaml', text);
    return '';
  } catch (error) {
    if (!(error instanceof MerestoneError)) throw error;
    return `${error.message}; ${error.hint}`;
  }
}

const point = (keys: string): string => `{ name: p, ${keys} }`;

/** Every fault that one point, or the points of one device, can have. */
const faults: readonly [what: string, points: string, fault: RegExp][] = [
  [
    'a scale of 0',
    point('table: holding, address: 0, type: int16, scale: 0'),
    /a scale of 0 makes every value 0/,
  ],
  [
    'a scale that is not finite',
    point('table: holding, address: 0, type: int16, scale: .inf'),
    /scale|finite/,
  ],
  [
    'an offset that is not a number',
    point('table: holding, address: 0, type: int16, offset: .nan'),
    /offset|is no number/,
  ],
  [
    'a value past the last address',
    point('table: holding, address: 65535, type: float64'),
    /past the last address 65535/,
  ],
  [
    'a string past the last address',
    point('table: input, address: 65530, type: string, length: 10'),
    /past the last/,
  ],
  ['an address that no PDU holds', point('table: holding, address: 65536, type: int16'), /address/],
  ['a table that Modbus has not', point('table: file, address: 0, type: int16'), /coil/],
  [
    'a coil with a register type',
    point('table: coil, address: 0, type: uint16'),
    /a coil holds one bit, not 'uint16'/,
  ],
  [
    'a discrete input with a register type',
    point('table: discrete, address: 0, type: int32'),
    /a discrete holds one bit/,
  ],
  ['no type in a register', point('table: holding, address: 0'), /'type' is missing/],
  [
    'a bit of a float',
    point('table: holding, address: 0, type: float32, bit: 3'),
    /'bit' does not go with type 'float32'/,
  ],
  ['a bit of a coil', point('table: coil, address: 0, bit: 3'), /'bit' does not go with type 'bool'/],
  ['bit 16 of a register', point('table: holding, address: 0, type: bool, bit: 16'), /at most 15|<=15/],
  [
    'the name of bit 20 in one register',
    point("table: holding, address: 0, type: bits, bits: { '20': on }"),
    /there is no bit 20 in 1 register/,
  ],
  [
    'the name of bit 32',
    point("table: holding, address: 0, type: bits, length: 2, bits: { '32': on }"),
    /32/,
  ],
  [
    'bits in three registers',
    point("table: holding, address: 0, type: bits, length: 3, bits: { '0': on }"),
    /bits take 1 or 2 registers/,
  ],
  ['bits without names', point('table: holding, address: 0, type: bits'), /needs the names of its bits/],
  [
    'names of bits of a number',
    point("table: holding, address: 0, type: uint16, bits: { '0': on }"),
    /'bits' does not go with type 'uint16'/,
  ],
  [
    'a scale of text',
    point('table: holding, address: 0, type: string, length: 2, scale: 0.1'),
    /'scale' does not go with type 'string'/,
  ],
  ['a scale of a coil', point('table: coil, address: 0, scale: 0.1'), /'scale' does not go with type 'bool'/],
  [
    'an offset of bits',
    point("table: holding, address: 0, type: bits, bits: { '0': on }, offset: 1"),
    /'offset' does not go with/,
  ],
  [
    'names of a float',
    point("table: holding, address: 0, type: float32, enum: { '1': on }"),
    /'enum' does not go with type 'float32'/,
  ],
  [
    'names of text',
    point("table: holding, address: 0, type: string, length: 1, enum: { '1': on }"),
    /'enum' does not go with type 'string'/,
  ],
  [
    'a name for an invalid number',
    point("table: holding, address: 0, type: uint16, enum: { '0x10': on }"),
    /is no raw number; write 16/,
  ],
  [
    'a string without a length',
    point('table: holding, address: 0, type: string'),
    /a string needs its 'length'/,
  ],
  [
    'a length of int16',
    point('table: holding, address: 0, type: int16, length: 2'),
    /'length' does not go with type 'int16'/,
  ],
  [
    'an int64 of two registers',
    point('table: holding, address: 0, type: int64, length: 2'),
    /takes 3 registers \(48 bits\) or 4/,
  ],
  [
    'half of a float',
    point('table: holding, address: 0, type: float32, half: high'),
    /'half' does not go with/,
  ],
  [
    'a sign of an unsigned',
    point('table: holding, address: 0, type: uint16, sign: magnitude'),
    /'sign' does not go with/,
  ],
  [
    'a marker of a coil',
    point('table: coil, address: 0, invalid: 1'),
    /'invalid' does not go with type 'bool'/,
  ],
  [
    'an invalid marker',
    point('table: holding, address: 0, type: int16, invalid: never'),
    /"never" is no marker/,
  ],
  [
    'a min above the max',
    point('table: holding, address: 0, type: int16, min: 5, max: 4'),
    /min 5 is above max 4/,
  ],
  [
    'a max of text',
    point('table: holding, address: 0, type: string, length: 1, max: 4'),
    /'max' does not go with type 'string'/,
  ],
  ['an invalid order', point('table: holding, address: 0, type: int32, wordOrder: middle'), /wordOrder|big/],
  ['a name with a space', '{ name: my point, table: holding, address: 0, type: int16 }', /cannot be a name/],
  ['an unknown key', point('table: holding, address: 0, type: int16, adress: 1'), /adress/],
  [
    'a power of ten from itself',
    point('table: holding, address: 0, type: int16, scaleFrom: p'),
    /no other point 'p' to scale by/,
  ],
  [
    'a power of ten that is not there',
    point('table: holding, address: 0, type: int16, scaleFrom: sf'),
    /no other point 'sf' to scale by/,
  ],
  [
    'one name twice',
    `${point('table: holding, address: 0, type: int16')}, ${point('table: holding, address: 1, type: int16')}`,
    /point 'p' is named twice/,
  ],
];

describe('a contradictory point', () => {
  for (const [what, points, fault] of faults) {
    it(`is refused with ${what}, in the configuration and in a profile`, () => {
      assert.match(configFaults(points), fault);
      assert.match(profileFault(profile(points)), fault);
    });
  }

  it('is refused in the same words by both', () => {
    const points = point('table: coil, address: 0, type: uint16');
    const words = profileFault(profile(points));
    assert.ok(configFaults(points).endsWith(words), words);
  });

  it('is refused by what pointDefaults add to it', () => {
    const inherits = (keys: string, defaults: string) => profileFault(profile(point(keys), defaults));
    assert.match(inherits('address: 0, type: uint16', '{ table: coil }'), /a coil holds one bit/);
    assert.match(inherits('address: 65535', '{ table: holding, type: float64 }'), /past the last address/);
    assert.match(
      inherits('address: 0, scale: 2', '{ table: holding, type: bool }'),
      /'scale' does not go with/,
    );
  });

  it('is no fault if only a default contradicts it', () => {
    const defaults = '{ table: holding, type: uint16, invalid: [0xFFFF] }';
    assert.equal(profileFault(profile(point('address: 0, type: bool, bit: 1'), defaults)), '');
  });
});

describe('a consistent point', () => {
  for (const keys of [
    "type: uint16, scale: 0.1, offset: -40, invalid: [0x8000, 'nan'], min: -40, max: 85",
    'type: int16, invalid: 0x8000',
    "type: uint64, length: 3, max: '18446744073709551615'",
    "type: bits, length: 2, bits: { '31': alarm }",
    "type: int32, sign: magnitude, wordOrder: little, enum: { '-1': off }",
    'type: bool, bit: 15',
    'type: string, length: 8',
  ]) {
    it(`is taken by both: ${keys}`, () => {
      const points = point(`table: holding, address: 0, ${keys}`);
      assert.equal(configFaults(points), '');
      assert.equal(profileFault(profile(points)), '');
    });
  }
});
