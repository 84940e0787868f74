import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { SerialPort } from 'serialport';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { ModbusClient } from '../../../src/fieldbus/modbus/modbus-client.ts';
import { findingOf, requestOf } from '../../../src/fieldbus/modbus/identity-check.ts';
import { serialTiming } from '../../../src/fieldbus/modbus/line-timing.ts';
import { pointReader, withFactor } from '../../../src/fieldbus/modbus/point-reader.ts';
import { createRtuClient } from '../../../src/fieldbus/modbus/rtu-client.ts';
import { createTcpClient } from '../../../src/fieldbus/modbus/tcp-client.ts';
import type {
  ModbusPointOptions,
  SerialDeviceOptions,
  SerialLineOptions,
} from '../../../src/fieldbus/options.ts';
import { createPort, type Port } from '../../../src/fieldbus/port/port.ts';
import { serialChannel } from '../../../src/fieldbus/port/serial-channel.ts';
import { socketChannel } from '../../../src/fieldbus/port/socket-channel.ts';
import { type Expansion, expandProfile } from '../../../src/config/profile/expansion.ts';
import { frameIdentity, identityChecks } from '../../../src/config/profile/identity-checks.ts';
import {
  defaultSettings,
  loadProfile,
  type Profile,
  profileNames,
} from '../../../src/config/profile/profile.ts';
import {
  resolveSunSpec,
  startSunSpecWalk,
  stepSunSpecWalk,
} from '../../../src/fieldbus/modbus/polling/sunspec-walk.ts';
import { compilePattern } from '../../../src/fieldbus/serial/pattern.ts';
import { createSerialBus } from '../../../src/fieldbus/serial/serial-bus.ts';
import { compileRange } from '../../../src/reading/range.ts';
import { registerCount } from '../../../src/reading/registers.ts';
import type { Sample } from '../../../src/reading/sample.ts';
import { openPtyPair } from '../../../src/simulator/pty.ts';
import { bitwiseCrc } from '../../support/modbus-frames.ts';
import { readTranscript, replay, type Transcript } from '../../support/transcript.ts';
import { until } from '../../support/until.ts';
import { builtInProfiles } from './built-in.ts';

type Reading = Pick<Sample, 'values' | 'quality'>;

const line = { baudRate: 19_200, dataBits: 8, parity: 'none', stopBits: 1 } as const;
let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'merestone-golden-'));
});
after(() => rm(directory, { recursive: true }));

/** Both ends of a pseudo-terminal: a port for the real code, a line for the transcript. */
async function openSerial(name: string): Promise<{ port: Port; farEnd: Duplex; close: () => Promise<void> }> {
  const pty = await openPtyPair(directory, name);
  const farEnd = new SerialPort({ path: pty.deviceEnd, baudRate: line.baudRate, autoOpen: false });
  await new Promise<void>((resolve, reject) => farEnd.open((error) => (error ? reject(error) : resolve())));
  const port = createPort(serialChannel({ ...line, port: pty.gatewayEnd }), {
    clock: systemClock,
    logger: silentLogger,
  });
  await until(() => port.state.kind === 'open', 'the port is open');
  return {
    port,
    farEnd,
    close: async () => {
      await port.close();
      await new Promise((resolve) => farEnd.close(resolve));
      await pty.close();
    },
  };
}

async function openSocket(): Promise<{ port: Port; farEnd: Duplex; close: () => Promise<void> }> {
  const server = createServer().listen(0, '127.0.0.1');
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise((resolve) => server.once('listening', resolve));
  const endpoint = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
  const channel = socketChannel({ ...endpoint, connectTimeoutMs: 10_000, idleCloseMs: 0, pipeline: 1 });
  const port = createPort(channel, { clock: systemClock, logger: silentLogger });
  const farEnd = await accepted;
  await until(() => port.state.kind === 'open', 'the port is open');
  return {
    port,
    farEnd,
    close: async () => {
      await port.close();
      farEnd.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A read of a transcript from its frame, for any transport. */
interface Read {
  table: 'input' | 'holding';
  address: number;
  quantity: number;
}

/** The reads of a Modbus transcript. The check sums of the device's frames must be right as well. */
function readsOf({ steps }: Transcript, isTcp: boolean): Read[] {
  const answers = new Map<number, Buffer>();
  let asked = -1;
  for (const [index, { kind, bytes }] of steps.entries()) {
    if (kind === 'expect' && steps[index - 1]?.kind !== 'expect') asked = index;
    if (kind === 'send') answers.set(asked, Buffer.concat([answers.get(asked) ?? Buffer.alloc(0), bytes]));
  }
  return [...answers].map(([index, answer]) => {
    const request = steps[index]!.bytes;
    const pdu = request.subarray(isTcp ? 7 : 1);
    if (isTcp)
      assert.equal(answer.readUInt16BE(4), answer.length - 6, `line ${steps[index]!.line}: MBAP length`);
    else assert.equal(bitwiseCrc(answer), 0, `line ${steps[index]!.line}: CRC`);
    const table = pdu[0] === 4 ? 'input' : 'holding';
    return { table, address: pdu.readUInt16BE(1), quantity: pdu.readUInt16BE(3) };
  });
}

/** The read registers by address; one by one for points, whole for identity checks. */
class Answers {
  readonly #whole = new Map<string, Uint8Array>();
  readonly #registers = new Map<string, Uint8Array>();

  add({ table, address, quantity }: Read, data: Uint8Array): void {
    this.#whole.set(`${table} ${address} ${quantity}`, data);
    if (quantity === 1) return; // the device may answer differently in a larger read
    for (let index = 0; index < quantity; index++) {
      this.#registers.set(`${table} ${address + index}`, data.subarray(2 * index, 2 * index + 2));
    }
  }

  of(table: string, address: number, quantity: number): Uint8Array {
    const whole = this.#whole.get(`${table} ${address} ${quantity}`);
    if (whole !== undefined) return whole;
    const parts = Array.from({ length: quantity }, (_, index) =>
      this.#registers.get(`${table} ${address + index}`),
    );
    assert.ok(
      parts.every((part) => part !== undefined),
      `the transcript has ${quantity} of ${table} ${address}`,
    );
    return Buffer.concat(parts);
  }
}

async function transact(
  client: ModbusClient,
  { table, address, quantity }: Read,
): Promise<Uint8Array | null> {
  const request = { functionCode: table === 'input' ? 4 : 3, address, quantity } as const;
  const outcome = await client.transact({ unitId: 1, request, timeoutMs: 10_000 });
  if (outcome.kind === 'exception') return null;
  assert.equal(outcome.kind, 'data', `${quantity} of ${table} ${address}`);
  return outcome.kind === 'data' ? outcome.data : null;
}

function decode(points: readonly ModbusPointOptions[], answers: Answers): Reading {
  const raw = new Map(
    points.map((point) => {
      const data = answers.of(point.table, point.address, registerCount(point));
      return [point.name, pointReader(point)(data, point.address)];
    }),
  );
  const reading: Required<Reading> = { values: {}, quality: {} };
  for (const { name, scaleFrom, internal, ...range } of points) {
    if (internal) continue;
    const value = raw.get(name);
    const scaled =
      value === undefined || scaleFrom === undefined ? value : withFactor(value, raw.get(scaleFrom));
    if (scaled === undefined) Object.assign(reading.quality, { [name]: 'invalid' });
    else Object.assign(reading.values, { [name]: scaled });
    if (scaled !== undefined && compileRange(range)?.(scaled) === false)
      Object.assign(reading.quality, { [name]: 'implausible' });
  }
  return reading;
}

/** Every check of the identify block that reads registers, on what the device answered. */
function assertIdentified({ shape }: Profile, answers: Answers): void {
  for (const check of identityChecks(shape)) {
    if (check.by !== 'registers') continue;
    const { table, address } = check;
    const request = requestOf(check);
    assert.ok('quantity' in request);
    const finding = findingOf(check, answers.of(table, address, request.quantity));
    assert.deepEqual(finding, { kind: 'fits' }, `${table} ${address}`);
  }
}

async function replayModbus(
  profile: Profile,
  expansion: Expansion & { kind: 'modbus' },
  transcript: Transcript,
): Promise<Reading> {
  const isTcp = profile.shape.interface !== 'modbus-rtu';
  const { port, farEnd, close } = isTcp ? await openSocket() : await openSerial(profile.name);
  const dependencies = { clock: systemClock, onStray: () => {} };
  const client = isTcp
    ? createTcpClient(port, 1, dependencies)
    : createRtuClient(port, serialTiming(line), dependencies);
  const answers = new Answers();
  let walk = startSunSpecWalk(expansion.discover?.bases ?? []);
  try {
    const playing = replay(transcript, farEnd, 60_000);
    for (const read of readsOf(transcript, isTcp)) {
      const data = await transact(client, read);
      if (walk.kind === 'read') {
        assert.deepEqual([read.address, read.quantity], [walk.address, walk.quantity], 'the walk asks next');
        walk = stepSunSpecWalk(walk, data);
      }
      if (data !== null) answers.add(read, data);
      assert.ok(
        read.quantity <= expansion.limits.registersMax,
        `${read.quantity} registers are within its limit`,
      );
    }
    await playing;
  } finally {
    await close();
  }
  if (expansion.discover === undefined) {
    assertIdentified(profile, answers);
    return decode(expansion.points, answers);
  }
  assert.equal(walk.kind, 'found');
  return decode(resolveSunSpec(expansion.discover.points, walk.kind === 'found' ? walk.models : []), answers);
}

/** A frame of the device, from any offset, is one that only its kind sends. */
function assertRecognised({ shape }: Profile, { steps }: Transcript): void {
  const identity = frameIdentity(shape, defaultSettings(shape));
  assert.ok(identity !== undefined);
  const pattern = compilePattern(identity.pattern);
  const said = steps.filter(({ kind }) => kind === 'send').map(({ bytes }) => bytes);
  assert.ok(
    said.some((_, index) => pattern.match(Buffer.concat(said.slice(index))) !== null),
    identity.pattern,
  );
}

async function replaySerial(
  profile: Profile,
  expansion: Expansion & { kind: 'serial' },
  transcript: Transcript,
): Promise<Reading[]> {
  const { port, farEnd, close } = await openSerial(profile.name);
  const samples: Sample[] = [];
  const device: SerialDeviceOptions = {
    name: profile.name,
    silo: 'north',
    bus: 'line',
    responseTimeoutMs: 10_000,
    ...expansion,
  };
  const options: SerialLineOptions = { ...line, port: '' };
  const deliver = (_silo: string, sample: Sample): number => samples.push(sample);
  const playing = replay(transcript, farEnd, 60_000);
  const bus = createSerialBus(options, {
    port,
    clock: systemClock,
    logger: silentLogger,
    deliver,
    onShare: () => {},
    lateAnswers: new Map(),
    onIdentity: () => {},
  });
  bus.assign([device], new Map());
  try {
    await playing;
    await until(() => samples.length >= transcript.expected.length, 'every sample');
  } finally {
    bus.stop();
    await close();
  }
  return samples
    .slice(0, transcript.expected.length)
    .map(({ values, quality }) => ({ values, ...(quality && { quality }) }));
}

describe('every built-in profile reads its device', () => {
  for (const name of profileNames([builtInProfiles])) {
    it(`${name} as its golden transcript has it`, async () => {
      const profile = loadProfile(name, [builtInProfiles]);
      const transcript = readTranscript(`${name}.txt`);
      assert.ok(transcript.expected.length > 0, 'the transcript says what must come of it');
      const expansion = expandProfile(profile, name === 'mt-sics' ? { everyMs: 200 } : { everyMs: 1000 });
      if (expansion.kind === 'serial') {
        assertRecognised(profile, transcript);
        assert.deepEqual(await replaySerial(profile, expansion, transcript), transcript.expected);
        return;
      }
      const { values, quality = {} } = await replayModbus(profile, expansion, transcript);
      assert.deepEqual(
        [{ values, ...(Object.keys(quality).length > 0 && { quality }) }],
        transcript.expected,
      );
    });
  }
});
