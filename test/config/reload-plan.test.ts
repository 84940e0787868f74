import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { formatFault } from '../../src/config/fault-line.ts';
import { parseConfig } from '../../src/config/load-config.ts';
import type { GatewayOptions } from '../../src/config/options.ts';
import { changedKeys, digestOf, ownPart, type OwnPart } from '../../src/config/silo-diff.ts';
import { planReload } from '../../src/config/reload-plan.ts';

const base = `silos:
  - name: north
    identity: { certificate: ./north.crt, privateKey: ./north.key, trust: ./ca.crt }
    uplink: { url: 'mqtts://broker.example.com', ca: ./broker-ca.crt }
    quota: { samplesPerSecond: 100 }
  - name: south
    identity: { certificate: ./south.crt, privateKey: ./south.key, trust: ./ca.crt }
    uplink: { url: 'mqtts://broker.example.com', ca: ./broker-ca.crt }
buses:
  - { name: rs485, kind: modbus-rtu, port: /dev/ttyUSB0 }
  - { name: plant, kind: modbus-tcp, host: 192.0.2.10 }
devices:
  - { name: meter, silo: north, bus: rs485, unitId: 1, profile: eastron-sdm630 }
  - name: boiler
    silo: north
    bus: plant
    unitId: 7
    points: [{ name: flow, table: holding, address: 40, type: int16 }, { name: back, table: holding, address: 41, type: int16 }]
  - { name: chiller, silo: south, bus: plant, unitId: 8, points: [{ name: flow, table: holding, address: 40, type: int16 }] }
`;

function optionsOf(text: string): GatewayOptions {
  const result = parseConfig('/etc/merestone/merestone.yaml', text);
  if ('faults' in result) assert.fail(result.faults.map(formatFault).join('\n'));
  return result.options;
}

/** What is touched, and why, if `from` in the configuration is replaced by `to`. */
function touched(from: string, to: string): string[] {
  assert.ok(base.includes(from), from);
  const { silos, buses } = planReload(optionsOf(base), optionsOf(base.replace(from, to)));
  return [
    ...silos.map(({ name, outcome, changes }) => [name, outcome, ...changes].join(' ')),
    ...buses.map(({ name, outcome }) => `${name} ${outcome}`),
  ].filter((line) => !line.endsWith('untouched'));
}

describe('a reload plan', () => {
  const stories: [string, string, string, string[]][] = [
    ['nothing where nothing changed', 'rs485, kind', 'rs485, kind', []],
    ['nothing where only lines moved', 'devices:\n', 'devices:\n\n  # a comment\n\n', []],
    ['one silo for its quota', 'Second: 100', 'Second: 99', ['north restarted quota.samplesPerSecond']],
    [
      'one silo for where it sends',
      "mqtts://broker.example.com', ca: ./broker-ca.crt }\n    quota",
      "mqtts://other.example.com', ca: ./broker-ca.crt, keepalive: 10s }\n    quota",
      ['north restarted uplink.url uplink.keepalive'],
    ],
    [
      'one silo and its bus for a device, and not the other silo on that bus',
      'unitId: 7',
      'unitId: 9\n    every: 2s\n    registersMax: 20',
      [
        'north changed devices.boiler.every devices.boiler.unitId devices.boiler.registersMax',
        'plant changed',
      ],
    ],
    [
      'points one by one',
      'address: 41, type: int16 }]',
      'address: 44, type: int16, unit: Cel }, { name: level, table: holding, address: 50, type: int16 }]',
      [
        'north changed devices.boiler.points.back.address devices.boiler.points.back.unit devices.boiler.points.level',
        'plant changed',
      ],
    ],
    [
      'a profile as one key, not as all that it fills in',
      'profile: eastron-sdm630',
      'profile: eastron-sdm120',
      ['north changed devices.meter.profile', 'rs485 changed'],
    ],
    [
      'both silos where a device changes hands',
      'name: chiller, silo: south',
      'name: chiller, silo: north',
      ['north changed devices.chiller', 'south changed devices.chiller', 'plant changed'],
    ],
    [
      'one silo for its isolation and its folder',
      'quota: { samplesPerSecond: 100 }',
      'isolation: process\n    socket: /run/north/silo.sock\n    stateDir: /srv/north\n    memoryMax: 64MB',
      ['north restarted stateDir quota.samplesPerSecond memoryMax isolation socket'],
    ],
    ['a bus and no silo for its line', 'ttyUSB0', 'ttyUSB1', ['rs485 changed']],
  ];
  for (const [name, from, to, expected] of stories) {
    it(name, () => assert.deepEqual(touched(from, to), expected));
  }

  it('touches what is new and what is gone', () => {
    const after = optionsOf(
      base
        .replaceAll('south', 'west')
        .replace('name: rs485', 'name: line')
        .replace('bus: rs485', 'bus: line'),
    );
    const { silos, buses } = planReload(optionsOf(base), after);
    assert.deepEqual(silos, [
      { name: 'north', outcome: 'changed', changes: ['devices.meter.bus'] },
      { name: 'west', outcome: 'started', changes: [] },
      { name: 'south', outcome: 'stopped', changes: [] },
    ]);
    assert.deepEqual(buses, [
      { name: 'line', outcome: 'started' },
      { name: 'plant', outcome: 'changed' },
      { name: 'rs485', outcome: 'stopped' },
    ]);
  });
});

describe("a silo's own part", () => {
  it('has nothing of another silo', () => {
    const options = optionsOf(base);
    assert.doesNotMatch(JSON.stringify(ownPart('north', options)), /south|chiller/);
    const others = optionsOf(base.replace('chiller', 'ice-maker').replace('unitId: 8', 'unitId: 99'));
    assert.equal(digestOf(ownPart('north', options)), digestOf(ownPart('north', others)));
    assert.notEqual(digestOf(ownPart('south', options)), digestOf(ownPart('south', others)));
  });

  const value = fc.oneof(
    fc.integer({ min: 0, max: 3 }),
    fc.constantFrom('SECRET-1', 'SECRET-2'),
    fc.boolean(),
  );
  const record = fc.dictionary(fc.constantFrom('a', 'bMs', 'limits', 'cSeconds'), value);
  const named = (more: fc.Arbitrary<object>) =>
    fc
      .uniqueArray(fc.tuple(fc.constantFrom('x', 'y', 'z'), more), { selector: ([name]) => name })
      .map((list) => list.map(([name, rest]) => ({ ...rest, name })));
  const device = fc.record({
    points: named(record),
    everyMs: value,
    list: fc.array(value, { maxLength: 2 }),
  });
  const part = fc.record({ silo: fc.record({ quota: record, memoryMbMax: value }), devices: named(device) });

  it('differs in no key if equal, in some if changed; and never shows a value', () => {
    fc.assert(
      fc.property(part, part, (before, after) => {
        const keys = changedKeys(before as unknown as OwnPart, after as unknown as OwnPart);
        assert.equal(keys.length === 0, isDeepStrictEqual(before, after), keys.join());
        assert.doesNotMatch(keys.join(), /SECRET/);
        assert.equal(new Set(keys).size, keys.length);
      }),
      { numRuns: 500 },
    );
  });
});
