import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { subscriberOptionsOf } from '../../src/cli/consume/consume-options.ts';
import type { ConsumeArguments } from '../../src/cli/consume/consume-options.ts';
import { formatFault } from '../../src/config/fault-line.ts';
import { parseConfig } from '../../src/config/load-config.ts';

const base = `http: { listen: 127.0.0.1:9464 }
silos:
  - name: north
    identity: { certificate: ./north.crt, privateKey: ./north.key, trust: ./tenant-ca.crt }
    uplink: { url: 'mqtts://10.0.0.9:8883', ca: ./broker-ca.crt }
buses:
  - { name: plant, kind: modbus-tcp, host: 10.0.0.8 }
  - { name: hall, kind: modbus-rtu-over-tcp, host: 10.0.0.7 }
`;

function faultsOf(text: string): string[] {
  const result = parseConfig('/site.yaml', text);
  return 'faults' in result ? result.faults.map(formatFault) : [];
}

describe('hosts of the configuration', () => {
  it('are taken as they are written', () => {
    assert.deepEqual(faultsOf(base), []);
    const result = parseConfig('/site.yaml', base.replace('10.0.0.9', '[fe80::9%eth0]'));
    assert.ok('options' in result);
    assert.equal(result.options.silos[0]!.uplink.url, 'mqtts://[fe80::9%eth0]:8883');
  });

  /** One validator: the same form is refused at each place that takes a host. */
  const places: [string, string, string][] = [
    ['10.0.0.8', '7:44', '[buses]'],
    ['10.0.0.7', '8:52', '[converter]'],
    ['10.0.0.9', '5:20', '[broker]'],
    ['127.0.0.1', '1:17', '[listener]'],
  ];
  for (const [address, place, what] of places) {
    it(`are refused with one reading too many at ${what}`, () => {
      for (const [form, words] of [
        ['10.0.0.010', 'octal'],
        ['10.1', 'short or hexadecimal'],
        ['0x7f.1', 'short or hexadecimal'],
        ['192.168.1.300', '300 is above 255'],
      ] as const) {
        const [fault, ...more] = faultsOf(base.replace(address, form));
        assert.deepEqual(more, []);
        assert.ok(fault?.startsWith(`/site.yaml:${place}: `) && fault.includes(words), fault);
      }
    });
  }

  it('are one line for two buses in any spelling', () => {
    const twice = base.replace('10.0.0.7', "'2001:DB8:0::1'").replace('10.0.0.8', "'2001:db8::1'");
    assert.deepEqual(faultsOf(twice), [
      "/site.yaml:8:52: bus 'plant' is the same line; requests of two buses would collide, so put the devices on one",
    ]);
  });

  it('are refused by consume --url with the same message', () => {
    const args = { url: ['mqtts://10.0.0.010'], tenant: [] as string[] } as ConsumeArguments;
    assert.throws(() => subscriberOptionsOf(args), {
      code: 'Usage',
      message:
        "--url is no mqtts:// address: '10.0.0.010' has leading zeros, which many programs read as octal",
      hint: 'write 10.0.0.10',
    });
  });
});

describe('numbers of the configuration', () => {
  const point = (key: string, value: string): string =>
    `${base}devices:\n  - { name: d, bus: plant, unitId: 1, points: [{ name: t, table: holding, address: 1, type: int16, ${key}: ${value} }] }\n`;
  const unitIdOf = (written: string): unknown => {
    const text = point('scale', '1').replace('unitId: 1', `unitId: ${written}`);
    const result = parseConfig('/site.yaml', text);
    if ('faults' in result) return result.faults.map(formatFault).join();
    const [device] = result.options.devices;
    return device?.kind === 'modbus' ? device.unitId : undefined;
  };

  it('are read by YAML 1.2: 010 is ten, and another base is marked', () => {
    assert.equal(unitIdOf('010'), 10);
    assert.equal(unitIdOf('0x1F'), 31);
    assert.equal(unitIdOf('0o17'), 15);
    assert.equal(unitIdOf('1e1'), 10);
    assert.match(String(unitIdOf('1_0')), /'1_0' is no number/);
    assert.match(String(unitIdOf('0b11')), /'0b11' is no number/);
    assert.match(String(unitIdOf('1:30')), /'1:30' is no number/);
  });

  it('that name raw values have one form, in which the value will be looked up', () => {
    assert.deepEqual(faultsOf(point('enum', '{ 0: off, -1: error, 10: on }')), []);
    assert.match(faultsOf(point('enum', '{ 010: on }'))[0]!, /"010" is no raw number; write 10$/);
    assert.match(faultsOf(point('enum', '{ 0x0A: on }'))[0]!, /"0x0A" is no raw number; write 10$/);
    assert.match(faultsOf(point('enum', '{ -0: on }'))[0]!, /"-0" is no raw number; write 0$/);
    assert.match(faultsOf(point('enum', '{ on: 1 }'))[0]!, /is no raw number; write a whole number/);
  });

  it('of durations and sizes are decimal', () => {
    const every = (text: string): string[] => faultsOf(point('every', text));
    assert.deepEqual(every('010s'), []);
    for (const text of ['0x10s', '1e3ms', '5']) assert.match(every(text)[0]!, /is not a duration/);
  });
});
