import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { formatFault } from '../../src/config/fault-line.ts';
import { findControlSocket, loadConfig, parseConfig } from '../../src/config/load-config.ts';
import type { GatewayOptions } from '../../src/config/options.ts';
import { loadProfile, profileNames } from '../../src/config/profile/profile.ts';
import { builtInProfiles } from './profile/built-in.ts';

const file = '/etc/merestone/merestone.yaml';

const base = `silos:
  - name: north
    identity: { certificate: ./north.crt, privateKey: ./north.key, trust: ./tenant-ca.crt }
    uplink: { url: 'mqtts://broker.example.com', ca: ./broker-ca.crt }
buses:
  - { name: rs485, kind: modbus-rtu, port: /dev/ttyUSB0 }
  - { name: plant, kind: modbus-tcp, host: 192.0.2.10 }
  - { name: wind, kind: serial, port: /dev/ttyUSB1, baudRate: 4800 }
devices:
  - { name: boiler, bus: plant, unitId: 7, points: [{ name: t, table: holding, address: 40, type: int16 }] }
`;

function optionsOf(text: string): GatewayOptions {
  const result = parseConfig(file, text);
  if ('faults' in result) assert.fail(result.faults.map(formatFault).join('\n'));
  return result.options;
}

/** The faults as `LINE:COLUMN: message; hint`. */
function faultsOf(text: string): string[] {
  const result = parseConfig(file, text);
  if ('options' in result) assert.fail('no fault');
  return result.faults.map((fault) => formatFault(fault).slice(file.length + 1));
}

describe('a valid configuration', () => {
  const options = optionsOf(base);

  it('has every default', () => {
    assert.deepEqual(options, {
      file,
      stateDir: '/var/lib/merestone',
      control: { socket: '/run/merestone/control.sock' },
      silos: [
        {
          name: 'north',
          identity: {
            certificate: '/etc/merestone/north.crt',
            privateKey: '/etc/merestone/north.key',
            trust: '/etc/merestone/tenant-ca.crt',
          },
          uplink: {
            url: 'mqtts://broker.example.com:8883',
            ca: '/etc/merestone/broker-ca.crt',
            protocol: '5',
            encoding: 'json',
            compression: 'none',
            noSubscribers: 'keep',
            order: 'live-first',
            inflightMax: 100,
            keepaliveSeconds: 30,
          },
          checkpoint: { everyMs: 3_600_000, shareMax: 0.1 },
          batch: { lingerMs: 1000, samplesMax: 500, bytesMax: 120_000 },
          spool: {
            directory: '/var/lib/merestone/silos/north',
            bytesMax: 512_000_000,
            whenFull: 'drop-oldest',
            keyPeriodMs: 86_400_000,
          },
          keyDirectory: '/var/lib/merestone/keys/north',
          quota: {},
          memoryMbMax: 96,
          isolation: { kind: 'thread' },
        },
      ],
      buses: [
        {
          name: 'rs485',
          kind: 'modbus-rtu',
          deadShareMax: 0.1,
          port: '/dev/ttyUSB0',
          baudRate: 19_200,
          dataBits: 8,
          parity: 'even',
          stopBits: 1,
        },
        {
          name: 'plant',
          kind: 'modbus-tcp',
          deadShareMax: 0.1,
          host: '192.0.2.10',
          port: 502,
          connectTimeoutMs: 3000,
          idleCloseMs: 0,
          pipeline: 1,
        },
        {
          name: 'wind',
          kind: 'serial',
          deadShareMax: 0.1,
          port: '/dev/ttyUSB1',
          baudRate: 4800,
          dataBits: 8,
          parity: 'none',
          stopBits: 1,
        },
      ],
      devices: [
        {
          kind: 'modbus',
          name: 'boiler',
          silo: 'north',
          bus: 'plant',
          unitId: 7,
          everyMs: 1000,
          responseTimeoutMs: 1000,
          place: `${file}:10:5`,
          points: [
            {
              name: 't',
              table: 'holding',
              address: 40,
              type: 'int16',
              byteOrder: 'big',
              wordOrder: 'big',
              everyMs: 1000,
              place: `${file}:10:53`,
            },
          ],
          limits: { registersMax: 125, bitsMax: 2000, requestGapMs: 0 },
        },
      ],
    });
  });

  it('is frozen all through', () => {
    assert.ok(Object.isFrozen(options.silos[0]!.uplink));
    assert.throws(() => ((options.devices[0] as { bus: string }).bus = 'x'), TypeError);
  });

  it('listens for HTTP at a Unix socket where a path is named', () => {
    const listensAt = (text: string) => optionsOf(`http: { listen: ${text} }\n${base}`).http;
    assert.deepEqual(listensAt('/run/merestone/http.sock'), { socket: '/run/merestone/http.sock' });
    assert.deepEqual(listensAt('./http.sock'), { socket: '/etc/merestone/http.sock' });
    assert.deepEqual(listensAt('localhost:1'), { host: 'localhost', port: 1 });
  });

  it('takes every key', () => {
    const { silos, buses, devices, http, control, stateDir } = optionsOf(`
stateDir: ./state
control: { socket: ./c.sock }
http: { listen: '[::1]:0' }
silos:
  - name: north
    identity: { certificate: a, privateKey: b, trust: /c }
    uplink:
      { url: 'mqtts://[2001:db8::1]:1883/', ca: d, protocol: 3.1.1, encoding: json, compression: zstd,
        noSubscribers: accept, order: fifo, inflightMax: 7, backlogBytesPerSecond: 64kB, keepalive: 1m,
        checkpoint: { every: 10m, share: 0.02 } }
    batch: { linger: 250ms, samplesMax: 9, bytesMax: 64kB }
    spool: { bytesMax: 1.5GB, whenFull: drop-newest, keyPeriod: 12h }
    quota: { samplesPerSecond: 5, uplinkBytesPerDay: 1MB, busShare: 0.25, cpuShare: 1 }
    memoryMax: 64MB
    isolation: process
    socket: ./north.sock
    stateDir: ./north
buses:
  - name: a
    kind: modbus-rtu
    port: /dev/x
    rs485: { rtsOnSend: false, rtsAfterSend: true, delayBeforeSend: 1ms, delayAfterSend: 2ms }
    deadShareMax: 0.5
  - { name: b, kind: modbus-rtu-over-tcp, host: converter.local, port: 4001, connectTimeout: 1s, idleClose: 1m }
devices:
  - name: x
    bus: a
    unitId: 247
    every: 2s
    responseTimeout: 50ms
    registersMax: 10
    bitsMax: 20
    gapMax: 3
    requestGap: 5ms
    points:
      - { name: a, table: coil, address: 65535 }
      - { name: b, table: input, address: 0, type: int64, invalid: ['0x7FFFFFFFFFFFFFFF', -1, nan], scaleFrom: c }
      - { name: c, table: input, address: 4, type: int16, every: 1h }
      - { name: d, table: input, address: 5, type: bits, length: 2, bits: { 0: low, 31: high } }
      - { name: e, table: input, address: 7, type: int16, enum: { -1: error, 0: off }, offset: 1 }
      - { name: f, table: holding, address: 8, type: bool, bit: 15, byteOrder: little }
      - { name: g, table: holding, address: 9, type: string, length: 10, unit: '%RH' }
`);
    assert.deepEqual(
      { http, control, stateDir },
      {
        http: { host: '::1', port: 0 },
        control: { socket: '/etc/merestone/c.sock' },
        stateDir: '/etc/merestone/state',
      },
    );
    const [silo] = silos;
    assert.equal(silo!.identity.trust, '/c');
    assert.deepEqual(silo!.uplink, {
      url: 'mqtts://[2001:db8::1]:1883',
      ca: '/etc/merestone/d',
      protocol: '3.1.1',
      encoding: 'json',
      compression: 'zstd',
      noSubscribers: 'accept',
      order: 'fifo',
      inflightMax: 7,
      backlogBytesPerSecond: 64_000,
      keepaliveSeconds: 60,
    });
    assert.deepEqual(silo!.checkpoint, { everyMs: 600_000, shareMax: 0.02 });
    assert.deepEqual(silo!.spool, {
      directory: '/etc/merestone/north',
      bytesMax: 1_500_000_000,
      whenFull: 'drop-newest',
      keyPeriodMs: 43_200_000,
    });
    assert.deepEqual(silo!.quota, {
      samplesPerSecond: 5,
      uplinkBytesPerDay: 1_000_000,
      busShare: 0.25,
      cpuShare: 1,
    });
    assert.deepEqual(silo!.isolation, { kind: 'process', socket: '/etc/merestone/north.sock' });
    const [serial, converter] = buses;
    assert.ok(serial?.kind === 'modbus-rtu' && converter?.kind === 'modbus-rtu-over-tcp');
    assert.deepEqual(serial.rs485, {
      rtsOnSend: false,
      rtsAfterSend: true,
      delayBeforeSendMs: 1,
      delayAfterSendMs: 2,
    });
    assert.equal(converter.pipeline, 1);
    const [device] = devices;
    assert.ok(device?.kind === 'modbus');
    assert.deepEqual(device.limits, { registersMax: 10, bitsMax: 20, gapMax: 3, requestGapMs: 5 });
    assert.deepEqual(
      device.points.map(({ type, everyMs }) => [type, everyMs]),
      [
        ['bool', 2000],
        ['int64', 2000],
        ['int16', 3_600_000],
        ['bits', 2000],
        ['int16', 2000],
        ['bool', 2000],
        ['string', 2000],
      ],
    );
    assert.deepEqual(device.points[1]!.invalid, [0x7fffffffffffffffn, -1, 'nan']);
  });

  it('may use anchors and merge keys', () => {
    const { devices } = optionsOf(`${base}
  - &meter { name: m1, bus: rs485, unitId: 1, every: 5s, points: [{ name: p, table: coil, address: 1 }] }
  - { <<: *meter, name: m2, unitId: 2 }
`);
    assert.deepEqual(
      devices.map((device) => [device.name, device.everyMs]),
      [
        ['boiler', 1000],
        ['m1', 5000],
        ['m2', 5000],
      ],
    );
  });

  it('expands a profile, and takes precedence over it', () => {
    const { devices } = optionsOf(`${base}
  - { name: meter, bus: rs485, unitId: 1, profile: eastron-sdm630, every: 7s, registersMax: 40, only: [voltage_l1] }
  - { name: mast, bus: wind, profile: nmea-0183 }
`);
    const meter = devices[1]!;
    assert.ok(meter.kind === 'modbus');
    assert.equal(meter.everyMs, 7000);
    assert.equal(meter.limits.registersMax, 40);
    assert.deepEqual(
      meter.points.map(({ name, everyMs }) => [name, everyMs]),
      [['voltage_l1', 7000]],
    );
    assert.match(meter.profileSha256!, /^[0-9a-f]{64}$/);
    assert.equal(devices[2]!.kind, 'serial');
  });

  it('declares a serial protocol without a profile', () => {
    const { devices } = optionsOf(`${base}
  - name: scale
    bus: wind
    protocol: { messages: [{ pattern: '^(?<weight>[+-][0-9.]+) kg', fields: [{ name: weight, unit: kg }] }] }
`);
    const scale = devices[1]!;
    assert.ok(scale.kind === 'serial');
    assert.equal(scale.protocol.messages[0]!.fields[0]!.name, 'weight');
  });
});

/** All profile names, those of one maker first. */
function profilesBy(vendor: string): string {
  const names = profileNames([builtInProfiles]);
  const isOf = (name: string): boolean => name.startsWith(`${vendor}-`);
  return [...names.filter(isOf), ...names.filter((name) => !isOf(name))].join(', ');
}

function pointsOf(profile: string): string {
  const { points = [] } = loadProfile(profile, [builtInProfiles]).shape;
  return points.map(({ name }) => name).join(', ');
}

describe('faults', () => {
  const device =
    '  - { name: d2, bus: plant, unitId: 8, points: [{ name: t, table: holding, address: 1, type: int16 }] }\n';
  /** What to change in the base, and each fault that follows. */
  const cases: [string, (text: string) => string, string[]][] = [
    [
      'an unknown key',
      (text) => `stateDirr: x\n${text}`,
      ["1:1: unknown key 'stateDirr'; did you mean 'stateDir'?"],
    ],
    [
      'an unknown key deep down',
      (text) => text.replace('type: int16', 'type: int16, scal: 2'),
      ["10:106: unknown key 'scal'; did you mean 'scale'?"],
    ],
    [
      'a duplicate key',
      (text) => text.replace('host: 192.0.2.10', 'host: a, host: b'),
      ['7:47: map keys must be unique; remove one of the two'],
    ],
    [
      'YAML that breaks off',
      (text) => `${text}  - { name: x`,
      [
        '11:14: flow map in block collection must be sufficiently indented and end with a }; indent it like its neighbours, and close every { and [',
      ],
    ],
    [
      'a tab as indentation',
      (text) => text.replace('    uplink', '\tuplink'),
      ['4:1: tabs are not allowed as indentation; indent with spaces'],
    ],
    [
      'two documents',
      (text) => `${text}---\n${text}`,
      ["11:1: a second document begins here; remove the '---' and what comes after it"],
    ],
    [
      'an unknown tag',
      (text) => text.replace('unitId: 7', 'unitId: !secret 7'),
      ['10:41: unresolved tag: !secret; remove the tag (!…)'],
    ],
    [
      'a missing key, at what lacks it',
      (text) => text.replace(', ca: ./broker-ca.crt', ''),
      ["4:13: 'ca' is missing; add it: CA certificates, PEM, that the broker's certificate must chain to"],
    ],
    [
      'a tenant anywhere',
      (text) => text.replace('name: north\n', 'name: north\n    tenant: acme\n'),
      [
        "3:5: 'tenant' cannot be configured: tenant and gateway come out of the device certificate and nowhere else; remove it, and see 'merestone identity show'",
      ],
    ],
    [
      'a duration without its unit',
      (text) => text.replace('unitId: 7', 'unitId: 7, every: 5'),
      ["10:51: '5' is not a duration; write a number and a unit, such as 250ms, 5s, 1m or 1h"],
    ],
    [
      'a duration out of range',
      (text) => text.replace('unitId: 7', 'unitId: 7, every: 1ms'),
      ['10:51: 1 ms is out of range; choose 10ms to 7d'],
    ],
    [
      'an encoding that is not built',
      (text) => text.replace('ca: ./broker-ca.crt', 'ca: x, encoding: sparkplug-b'),
      ["4:67: encoding 'sparkplug-b' is not built in this version; use json"],
    ],
    [
      'a broker without TLS',
      (text) => text.replace('mqtts:', 'mqtt:'),
      ["4:20: 'mqtt://' is not mutual TLS; write mqtts://broker.example.com"],
    ],
    [
      'a password in the address',
      (text) => text.replace('mqtts://', 'mqtts://me:secret@'),
      ['4:20: a broker address holds no user or password; remove them, the certificate is the login'],
    ],
    [
      'an invalid address to listen on',
      (text) => `http: { listen: 9464 }\n${text}`,
      [
        '1:17: 9464 is no text; wanted here: address and port of metrics, health and status page, or the path of a Unix socket, such as /run/merestone/http.sock; 127.0.0.1 keeps them on this box, a socket with its group',
      ],
    ],
    [
      'a port that does not exist',
      (text) => `http: { listen: 'localhost:70000' }\n${text}`,
      [
        "1:17: 'localhost:70000' is not an address to listen on; write host:port, such as 127.0.0.1:9464 or [::1]:9464, or a socket's path",
      ],
    ],
    [
      'a URL to listen at',
      (text) => `http: { listen: 'http://127.0.0.1:9464' }\n${text}`,
      [
        "1:17: 'http://127.0.0.1:9464' is not an address to listen on; write host:port, such as 127.0.0.1:9464 or [::1]:9464, or a socket's path",
      ],
    ],
    [
      'a bus that is not there',
      (text) => text.replace('bus: plant', 'bus: plnt'),
      ["10:26: there is no bus 'plnt'; there is 'rs485', 'plant', 'wind'"],
    ],
    [
      'a silo that is not there',
      (text) => text.replace('bus: plant', 'silo: south, bus: plant'),
      ["10:27: there is no silo 'south'; there is 'north'"],
    ],
    [
      'no silo where there are two',
      (text) =>
        text.replace(
          'buses:',
          "  - name: south\n    identity: { certificate: s.crt, privateKey: s.key, trust: t }\n    uplink: { url: 'mqtts://b', ca: c }\nbuses:",
        ),
      ["13:5: 'silo' is missing; there are several, so say whose 'boiler' is"],
    ],
    [
      'two silos with one key',
      (text) =>
        text
          .replace(
            'buses:',
            "  - name: south\n    identity: { certificate: s.crt, privateKey: ./north.key, trust: t }\n    uplink: { url: 'mqtts://b', ca: c }\nbuses:",
          )
          .replace('name: boiler', 'name: boiler, silo: south'),
      ["6:49: silo 'north' has the same private key; give each silo its own: a shared key separates nothing"],
    ],
    [
      'two silos of one name',
      (text) =>
        text.replace(
          'buses:',
          "  - name: north\n    identity: { certificate: s.crt, privateKey: s.key, trust: t }\n    uplink: { url: 'mqtts://b', ca: c }\nbuses:",
        ),
      ["5:11: silo 'north' is named twice (also silos[0]); give each its own name"],
    ],
    [
      'two buses on one line',
      (text) => text.replace('/dev/ttyUSB1', '/dev/ttyUSB0'),
      ["8:39: bus 'rs485' is the same line; requests of two buses would collide, so put the devices on one"],
    ],
    [
      'two devices with one unit id',
      (text) => text + device.replace('unitId: 8', 'unitId: 7'),
      [
        "11:37: 'boiler' reads the same unit of bus 'plant'; correct one, or write shared: true on both if that is on purpose",
      ],
    ],
    [
      'two devices of one name',
      (text) => text + device.replace('d2', 'boiler'),
      ["11:13: device 'boiler' is named twice in its silo; give each its own name"],
    ],
    [
      'a unit id that no serial line has',
      (text) => text.replace('bus: plant, unitId: 7', 'bus: rs485, unitId: 248'),
      ['10:41: unit id 248 does not exist on a serial line; choose 1 to 247'],
    ],
    [
      'a unit id above those that the line has',
      (text) =>
        text
          .replace('bus: plant, unitId: 7', 'bus: rs485, unitId: 251')
          .replace('name: rs485,', 'name: rs485, unitIdMax: 250,'),
      ['10:41: unit id 251 does not exist on a serial line; choose 1 to 250'],
    ],
    [
      'answers that could not be told apart',
      (text) => text.replace('name: plant,', 'name: plant, pipeline: 4, ignoreTransactionId: true,'),
      [
        '7:54: without transaction ids, answers to several requests in flight cannot be told apart; write pipeline: 1, or remove it',
      ],
    ],
    [
      'an invalid half of a register',
      (text) => text.replace('type: int16', 'type: int32, half: low'),
      ["10:112: 'half' does not go with type 'int32'; it is for int16 and uint16"],
    ],
    [
      'a sign for an unsigned type',
      (text) => text.replace('type: int16', 'type: uint16, sign: magnitude'),
      ["10:113: 'sign' does not go with type 'uint16'; it is for int16, int32 and int64"],
    ],
    [
      'a number of a width that there is not',
      (text) => text.replace('type: int16', 'type: int64, length: 2'),
      ['10:114: int64 takes 3 registers (48 bits) or 4, not 2; write one of them'],
    ],
    [
      'no unit id',
      (text) => text.replace(' unitId: 7,', ''),
      ["10:5: 'unitId' is missing; write the Modbus address of 'boiler'"],
    ],
    [
      'Modbus keys on a plain serial bus',
      (text) => text.replace('bus: plant', 'bus: wind'),
      [
        "10:5: 'boiler' has nothing to read; give it a 'profile' or 'protocol'",
        "10:40: 'unitId' is for Modbus, and bus 'wind' is plain serial; remove it",
        "10:51: 'points' is for Modbus, and bus 'wind' is plain serial; remove it",
      ],
    ],
    [
      'a profile that is not there',
      (text) => `${text}  - { name: m, bus: rs485, unitId: 1, profile: eastron-sdm63 }\n`,
      [
        `11:48: there is no profile 'eastron-sdm63', and one of a near name is for another device; there is ${profilesBy('eastron')}`,
      ],
    ],
    [
      'a profile with points beside it',
      (text) => text.replace('unitId: 7', 'unitId: 7, profile: eastron-sdm630'),
      ["10:77: 'points' and a profile both say what to read; keep one"],
    ],
    [
      'a profile of another interface',
      (text) => `${text}  - { name: m, bus: rs485, unitId: 1, profile: nmea-0183 }\n`,
      [
        "11:48: profile 'nmea-0183' is for serial, and bus 'rs485' speaks Modbus; name another bus or profile",
      ],
    ],
    [
      'a point that the profile has not',
      (text) => `${text}  - { name: m, bus: rs485, unitId: 1, profile: eastron-sdm120, only: [voltage4] }\n`,
      [`11:70: profile eastron-sdm120: has no point 'voltage4'; it has ${pointsOf('eastron-sdm120')}`],
    ],
    [
      'a point that is nearly one of the profile',
      (text) =>
        `${text}  - { name: m, bus: rs485, unitId: 1, profile: eastron-sdm630, only: [voltgae_l2] }\n`,
      ["11:70: profile eastron-sdm630: has no point 'voltgae_l2'; did you mean 'voltage_l2'?"],
    ],
    [
      'a point past the last address',
      (text) => text.replace('address: 40, type: int16', 'address: 65535, type: float32'),
      ['10:89: the value reaches to 65536, past the last address 65535; correct the address'],
    ],
    [
      'a coil that is a number',
      (text) => text.replace('table: holding', 'table: coil'),
      ["10:96: a coil holds one bit, not 'int16'; write type: bool, or another table"],
    ],
    [
      'a string without length',
      (text) => text.replace('int16', 'string'),
      ["10:53: a string needs its 'length'; write how many registers it takes"],
    ],
    [
      'a value that no request may ask',
      (text) =>
        text
          .replace('type: int16', 'type: string, length: 20')
          .replace('unitId: 7', 'unitId: 7, registersMax: 10'),
      ["10:58: 't' takes 20 registers, and a request may ask 10; raise registersMax"],
    ],
    [
      'a scale for text',
      (text) => text.replace('type: int16', 'type: string, length: 2, scale: 10'),
      ["10:125: 'scale' does not go with type 'string'; it is for numbers"],
    ],
    [
      'a power of ten that is not there',
      (text) => text.replace('type: int16', 'type: int16, scaleFrom: t'),
      ["10:117: there is no other point 't' to scale by; name one of this device"],
    ],
    [
      'a type that is nearly one',
      (text) => text.replace('type: int16', 'type: int61'),
      [
        "10:99: 'int61' is not one of bool, int16, uint16, int32, uint32, int64, uint64, float32, float64, string, bits, bcd16, bcd32; choose one of them",
      ],
    ],
    ['nothing at all', () => '', ['1:1: nothing is no mapping; wanted here: configuration of Merestone']],
    [
      'only a comment',
      () => '# soon\n',
      ['1:1: nothing is no mapping; wanted here: configuration of Merestone'],
    ],
    ['a list', () => '- a\n', ['1:1: ["a"] is no mapping; wanted here: configuration of Merestone']],
  ];
  for (const [name, change, expected] of cases) {
    it(name, () => assert.deepEqual(faultsOf(change(base)), expected));
  }

  it('are all reported, in the order of the file, and none hides another element’s', () => {
    const text = base
      .replace('url:', 'ulr:')
      .replace('kind: modbus-rtu', 'kind: modbus-rtx')
      .replace('unitId: 7', 'unitId: 700')
      .concat(
        '  - { name: d, bus: rs485, unitId: 300, points: [] }\n',
        device.replace('bus: plant', 'bus: plnt'),
      );
    assert.deepEqual(
      faultsOf(text).map((fault) => fault.split(': ')[0]),
      ['4:13', '4:15', '6:26', '10:41', '11:36', '11:49', '12:22'],
    );
  });

  it('do not include a unit that two devices both mark as shared', () => {
    const shared = base.replace('unitId: 7', 'unitId: 7, shared: true');
    optionsOf(shared + device.replace('unitId: 8', 'unitId: 7, shared: true'));
    assert.equal(faultsOf(shared + device.replace('unitId: 8', 'unitId: 7')).length, 1);
  });

  it('include an alias bomb, before its values are expanded', () => {
    const levels = Array.from({ length: 12 }, (_, level) => {
      const inner = level === 0 ? 'x' : `*a${level - 1}`;
      return `k${level}: &a${level} [${Array(10).fill(inner).join(', ')}]`;
    });
    const started = performance.now();
    assert.match(faultsOf(levels.join('\n'))[0]!, /expands to more than/);
    assert.ok(performance.now() - started < 5000);
    assert.match(faultsOf('a: &a [*a]')[0]!, /holds itself|cannot be followed/);
  });

  it('depth is bounded', () => {
    for (const text of [
      '['.repeat(100_000),
      '{a: '.repeat(20_000),
      '- '.repeat(10_000),
      'a:\n'.repeat(5000),
    ]) {
      assert.ok(faultsOf(text).length > 0);
    }
  });

  it('control characters of the file stay out of the message', () => {
    const [fault] = faultsOf(base.replace('bus: plant', 'bus: "\\e[31mplant"'));
    assert.doesNotMatch(fault!, /\p{Cc}/u);
  });
});

describe('the file itself', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'merestone-config-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('is read, and relative paths count from its folder', () => {
    const name = path.join(folder, 'm.yaml');
    writeFileSync(name, base);
    const result = loadConfig(name);
    assert.ok('options' in result);
    assert.equal(result.options.silos[0]!.identity.certificate, path.join(folder, 'north.crt'));
  });

  it('is missed, refused as a folder, or as too large', () => {
    assert.throws(() => loadConfig(path.join(folder, 'no.yaml')), { code: 'FileNotFound', exitCode: 66 });
    assert.throws(() => loadConfig(folder), { code: 'FileNotFound' });
    const name = path.join(folder, 'large.yaml');
    writeFileSync(name, '');
    truncateSync(name, 5_000_000);
    assert.throws(() => loadConfig(name), { code: 'ConfigInvalid', exitCode: 78 });
  });

  it('yields the control socket even if the rest has faults', () => {
    const name = path.join(folder, 'broken.yaml');
    writeFileSync(name, 'control: { socket: ./x.sock }\nsilos: nonsense\n');
    assert.equal(findControlSocket(name), path.join(folder, 'x.sock'));
    writeFileSync(name, 'control: [');
    assert.equal(findControlSocket(name), '/run/merestone/control.sock');
  });
});
