import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { startModbusTcpDevice } from '../../src/simulator/modbus-tcp-device.ts';
import { openPtyPair } from '../../src/simulator/pty.ts';
import { freePort } from './free-port.ts';
import { GoldenImage } from './golden-image.ts';
import { rtuFrame } from './modbus-frames.ts';
import {
  listenFor,
  playLine,
  refusal,
  type Reply,
  type ScriptedRequest,
  serveModbusTcp,
  sevens,
} from './scripted-units.ts';
import type { Site } from './site.ts';

/** Command prefix that takes root's privileges away: it may not open everything, nor read root's processes. */
export const serviceUser = ['setpriv', '--bounding-set=-dac_override,-dac_read_search,-sys_ptrace'];

/** One mistake or fault in the field: its part of the configuration, and the bus or device that is named for it. */
export interface BrokenSetUp {
  /** Title in docs/symptoms.md. */
  title: string;
  /** Bus or device, as the verdict names it. */
  who: string;
  /** Where it is reported: in the verdict by default. */
  where?: 'check';
  buses: string[];
  devices: string[];
}

const flow = '{ name: flow, table: holding, address: 1, type: uint16 }';

const tcp = (name: string, port: number, more = ''): string =>
  `{ name: ${name}, kind: modbus-tcp, host: 127.0.0.1, port: ${port}${more} }`;
const rtu = (name: string, port: string): string =>
  `{ name: ${name}, kind: modbus-rtu, port: ${port}, baudRate: 9600, parity: none }`;
const plain = (name: string, port: string, baudRate: number): string =>
  `{ name: ${name}, kind: serial, port: ${port}, baudRate: ${baudRate} }`;
const unit = (name: string, bus: string, more = `points: [${flow}]`, unitId = 1): string =>
  `{ name: ${name}, bus: ${bus}, unitId: ${unitId}, every: 1s, ${more} }`;
const sensor = (name: string, profile: string, more = ''): string =>
  `{ name: ${name}, bus: ${name}-line, profile: ${profile}, every: 1s${more} }`;

/** All of them, each made for real; their servers end with the site. */
export async function brokenField(site: Site): Promise<BrokenSetUp[]> {
  return [
    ...(await brokenEndpoints(site)),
    ...(await refusingDevices(site)),
    ...(await strangeAnswers(site)),
    ...(await brokenPorts(site)),
    ...(await brokenLines(site)),
    ...(await brokenSensors(site)),
    ...(await overloaded(site)),
  ];
}

async function brokenEndpoints(site: Site): Promise<BrokenSetUp[]> {
  const silent = await listenFor(site, () => {});
  const web = await listenFor(site, (socket) =>
    socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')),
  );
  const banner = await listenFor(site, (socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n'));
  const gone = '{ name: nameless, kind: modbus-tcp, host: meter.invalid, port: 502 }';
  const endpoint = (title: string, name: string, bus: string, who = `bus ${name}`): BrokenSetUp => ({
    title,
    who,
    buses: [bus],
    devices: [unit(`${name}-unit`, name)],
  });
  return [
    endpoint('Modbus TCP: nothing listens at the port', 'refusing', tcp('refusing', await freePort())),
    endpoint(
      'Modbus TCP: the endpoint accepts and says nothing',
      'silent',
      tcp('silent', silent),
      'device silent-unit',
    ),
    endpoint('Modbus TCP: a web server is at the port', 'web', tcp('web', web)),
    endpoint('Modbus TCP: another service is at the port', 'banner', tcp('banner', banner)),
    endpoint('Modbus TCP: the name of the host is unknown', 'nameless', gone),
  ];
}

/** Devices that answer by exceptions, and one that is slow. */
async function refusingDevices(site: Site): Promise<BrokenSetUp[]> {
  const answering = (answer: (request: ScriptedRequest) => Reply): Promise<number> =>
    serveModbusTcp(site, answer);
  const exceptions = [1, 2, 3, 4, 6, 10, 11];
  const all = exceptions.map(async (code) => ({
    title: `Modbus: every point is answered by exception ${code}`,
    who: `device exception-${code}`,
    buses: [tcp(`bus-${code}`, await answering(({ pdu }) => ({ pdu: refusal(pdu, code) })))],
    devices: [unit(`exception-${code}`, `bus-${code}`)],
  }));
  const map = await answering(({ pdu }) => ({
    pdu: pdu.readUInt16BE(1) + pdu.readUInt16BE(3) > 900 ? refusal(pdu, 2) : sevens(pdu),
  }));
  const slow = await answering(({ pdu }) => ({ pdu: sevens(pdu), afterMs: 2500 }));
  const gateway = await answering(({ pdu, unitId }) => (unitId === 9 ? null : { pdu: sevens(pdu) }));
  const queue = [1, 2].map((unitId) => unit(`queued-${unitId}`, 'queue', undefined, unitId));
  return [
    ...(await Promise.all(all)),
    {
      title: 'Modbus: one point of several is answered by exception 2',
      who: 'device one-of-two',
      buses: [tcp('map', map)],
      devices: [
        unit(
          'one-of-two',
          'map',
          `points: [${flow}, { name: far, table: holding, address: 900, type: uint16 }]`,
        ),
      ],
    },
    {
      title: 'Modbus: the device answers later than its responseTimeout',
      who: 'device slow',
      buses: [tcp('slow-bus', slow)],
      devices: [unit('slow', 'slow-bus', `responseTimeout: 100ms, points: [${flow}]`)],
    },
    {
      title: 'Modbus TCP gateway: one unit behind it is dead',
      who: 'device queued-9',
      buses: [tcp('queue', gateway)],
      devices: [...queue, unit('queued-9', 'queue', undefined, 9)],
    },
  ];
}

async function strangeAnswers(site: Site): Promise<BrokenSetUp[]> {
  const other = await serveModbusTcp(site, ({ pdu }) => ({ unitId: 5, pdu: sevens(pdu) }));
  const zero = await serveModbusTcp(site, ({ pdu }) => ({ transactionId: 0, pdu: sevens(pdu) }));
  const meter = await startModbusTcpDevice(new Map([[2, new GoldenImage('eastron-sdm630', false)]]));
  site.cleanUp(() => meter.close());
  // 50.0 as a float32 whose words are swapped
  const swapped = await serveModbusTcp(site, ({ pdu }) => ({ pdu: [pdu[0]!, 4, 0, 0, 0x42, 0x48] }));
  const frequency =
    '{ name: frequency, table: input, address: 70, type: float32, unit: Hz, min: 45, max: 65 }';
  return [
    {
      title: 'Modbus: another unit answers than was asked',
      who: 'device misnumbered',
      buses: [tcp('other-unit', other)],
      devices: [unit('misnumbered', 'other-unit')],
    },
    {
      title: 'Modbus TCP: answers have a transaction id of their own',
      who: 'device zero',
      buses: [tcp('zero-id', zero)],
      devices: [unit('zero', 'zero-id')],
    },
    {
      title: 'Modbus: wordOrder is wrong',
      who: 'device swapped',
      buses: [tcp('swapped-words', swapped)],
      devices: [unit('swapped', 'swapped-words', `points: [${frequency}]`)],
    },
    {
      title: 'The bus has other line settings than the profile',
      who: 'bus fast',
      where: 'check',
      buses: [
        `{ name: fast, kind: modbus-rtu, port: ${site.path('ttyUSB8')}, baudRate: 19200, parity: even }`,
      ],
      devices: [unit('fast-meter', 'fast', 'profile: eastron-sdm120')],
    },
    {
      title: 'The profile is for another device',
      who: 'device other-meter',
      buses: [tcp('meter', meter.port)],
      devices: [unit('other-meter', 'meter', 'profile: carlo-gavazzi-em340', 2)],
    },
  ];
}

/** Paths of serial lines that cannot be opened, or that another program has open. */
async function brokenPorts(site: Site): Promise<BrokenSetUp[]> {
  const line = async (name: string): Promise<string> => {
    const pair = await openPtyPair(site.folder, name);
    site.cleanUp(() => pair.close());
    return pair.gatewayEnd;
  };
  const forbidden = await line('forbidden');
  await chmod(forbidden, 0o000);
  const [locked, shared] = [await line('locked'), await line('shared')];
  await holdOpen(site, locked, 'flock 3');
  await holdOpen(site, shared, 'true');
  const at = (title: string, name: string, port: string, who = `bus ${name}-line`): BrokenSetUp => ({
    title,
    who,
    buses: [rtu(`${name}-line`, port)],
    devices: [unit(name, `${name}-line`)],
  });
  return [
    at('Serial: the port is not there', 'missing', site.path('ttyUSB7')),
    at('Serial: this user may not open the port', 'forbidden', forbidden),
    at('Serial: another program has the port, with a lock', 'locked', locked),
    at('Serial: another program has the port, without a lock', 'shared', shared, 'device shared'),
  ];
}

/** Another program that has the file open at its descriptor 3, until the site ends. */
async function holdOpen(site: Site, path: string, first: string): Promise<void> {
  const script = `exec 3<>"$0" && ${first} && echo ready && exec sleep 600`;
  const words = [...serviceUser, 'sh', '-c', script, path];
  const holder = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  site.cleanUp(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
}

/** Lines without bytes, or without frames. */
async function brokenLines(site: Site): Promise<BrokenSetUp[]> {
  const off = await playLine(site, 'off', () => {});
  const others = await playLine(site, 'others', (write, onRequest) =>
    onRequest((request) => request[0] === 1 && write(rtuFrame(1, ...sevens(request.subarray(1, 6))))),
  );
  const noise = await playLine(site, 'noise', (write, onRequest) =>
    onRequest(() => write(Buffer.of(0xf8, 0x00, 0xfe))),
  );
  const echo = await playLine(site, 'echo', (write, onRequest) => onRequest(write));
  const twins = await playLine(site, 'twins', (write, onRequest) =>
    onRequest((request) => {
      const frame = rtuFrame(request[0]!, ...sevens(request.subarray(1, 6)));
      write(frame.map((byte, index) => (index < 3 ? byte : byte & 0x5a)));
    }),
  );
  const line = (title: string, name: string, port: string): BrokenSetUp => ({
    title,
    who: `device ${name}`,
    buses: [rtu(`${name}-line`, port)],
    devices: [unit(name, `${name}-line`)],
  });
  const wrongId = line('Modbus RTU: unitId is wrong', 'unnumbered', others);
  return [
    line('Modbus RTU: the device is switched off', 'off', off),
    {
      ...wrongId,
      devices: [unit('numbered', 'unnumbered-line'), unit('unnumbered', 'unnumbered-line', undefined, 2)],
    },
    line('Modbus RTU: the baud rate is wrong', 'noisy', noise),
    line('Modbus RTU: the adapter echoes, and the device is silent', 'echoing', echo),
    line('Modbus RTU: two devices have one unitId', 'twin', twins),
  ];
}

async function brokenSensors(site: Site): Promise<BrokenSetUp[]> {
  const sending = (name: string, bytes: Uint8Array): Promise<string> =>
    playLine(site, name, (write) => {
      const timer = setInterval(() => write(bytes), 500);
      site.cleanUp(() => clearInterval(timer));
    });
  const scale = await playLine(site, 'pounds', (write, onRequest) =>
    onRequest(() => write(Buffer.from('S S     12.345 lb\r\n'))),
  );
  const encrypted = Buffer.concat([
    Buffer.of(0xdb, 0x08, ...Buffer.from('SAGgYwK8'), 0x82, 0x01, 0x55, 0x30, 0, 0, 0, 1),
    Buffer.alloc(340, 0xc7),
  ]);
  const wind = Buffer.from('$WIMWV,214.8,R,0.1,M,A\r\n');
  const made = (
    title: string,
    name: string,
    port: string,
    baudRate: number,
    profile: string,
  ): BrokenSetUp => ({
    title,
    who: `device ${name}`,
    buses: [plain(`${name}-line`, port, baudRate)],
    devices: [sensor(name, profile)],
  });
  return [
    made(
      'Sensor: the baud rate is wrong',
      'garbled',
      await sending('garbled', Buffer.of(0x80, 0xf8, 0, 0xfe, 0xe0, 0x80)),
      4800,
      'nmea-0183',
    ),
    made(
      'Sensor: it speaks another protocol than its profile',
      'foreign',
      await sending('foreign', wind),
      9600,
      'pms5003',
    ),
    made(
      'Sensor: NMEA 0183 without checksum',
      'unchecked',
      await sending('unchecked', wind),
      4800,
      'nmea-0183',
    ),
    made('Sensor: the scale is set to pounds', 'pounds', scale, 9600, 'mt-sics'),
    made(
      'Sensor: P1 telegrams are encrypted',
      'encrypted',
      await sending('encrypted', encrypted),
      115_200,
      'dsmr-p1',
    ),
    made('Sensor: it sends nothing', 'mute', await playLine(site, 'mute', () => {}), 4800, 'nmea-0183'),
  ];
}

async function overloaded(site: Site): Promise<BrokenSetUp[]> {
  const port = await serveModbusTcp(site, ({ pdu }) => ({ pdu: sevens(pdu), afterMs: 150 }));
  const devices = [1, 2, 3].map((unitId) =>
    unit(`busy-${unitId}`, 'overloaded', undefined, unitId).replace('every: 1s', 'every: 100ms'),
  );
  const title = 'More is asked of a bus than it can carry';
  return [{ title, who: 'bus overloaded', buses: [tcp('overloaded', port)], devices }];
}
