import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { SerialPort } from 'serialport';
import type { ModbusBusOptions } from '../../src/fieldbus/options.ts';
import type { ModbusPointOptions } from '../../src/fieldbus/options.ts';
import { openPtyPair } from '../../src/simulator/pty.ts';
import { modbusDevice, registerPoint, rtuBus, tcpBus } from '../support/modbus-options.ts';
import { runFieldbus } from '../support/running-fieldbus.ts';
import { readTranscript, replay, type Transcript } from '../support/transcript.ts';
import { until } from '../support/until.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });

// Longer than a busy machine delays bytes, and shorter than the pauses of the late answers.
const responseTimeoutMs = 1000;
const everyMs = 100;

const float = (name: string, address: number): ModbusPointOptions =>
  registerPoint(name, { table: 'holding', address, type: 'float32', everyMs });
const a = float('a', 0);

/** Points other than one at 0, by transcript. */
const pointsOf: Record<string, ModbusPointOptions[]> = {
  'fault-illegal-address.txt': [a, float('bad', 2), float('c', 4)],
  'fault-late-answer.txt': [a, float('b', 100)],
  'fault-tcp-late-answer.txt': [a, float('b', 100)],
  'fault-tcp-exception-length.txt': [a, float('bad', 100)],
  'fault-echo-like-answer.txt': Array.from({ length: 17 }, (_, index) =>
    registerPoint(`coil${index}`, { table: 'coil', address: 768 + index, type: 'bool', everyMs }),
  ),
};

/** Polls by the transcript, and compares samples and counters with its `==` lines. */
async function check(
  name: string,
  transcript: Transcript,
  bus: ModbusBusOptions,
  played: Promise<void>,
): Promise<void> {
  const points = pointsOf[name] ?? [a];
  // A gap is never joined here, so that the dialogues stay readable.
  const limits = { registersMax: 125, bitsMax: 2000, gapMax: 0, requestGapMs: 0 };
  const device = modbusDevice('device', {
    bus: bus.name,
    unitId: 1,
    points,
    responseTimeoutMs,
    everyMs,
    limits,
  });
  const samples = transcript.expected.slice(0, -1);
  const failures = transcript.expected.at(-1);
  await using running = runFieldbus([bus], [device]);
  await played;
  await until(() => running.samples.length >= samples.length, 'the samples of the transcript');
  const counted = running.device('device').failures;
  const taken = running.samples.slice(0, samples.length).map(({ values, quality }) => {
    return quality === undefined ? { values } : { values, quality };
  });
  assert.deepEqual(taken, samples);
  assert.deepEqual(counted, failures);
}

const names = readdirSync(new URL('../transcripts/', import.meta.url)).filter((name) =>
  name.startsWith('fault-'),
);

describe('each fault on a serial line, over a PTY', () => {
  for (const name of names.filter((name) => !name.startsWith('fault-tcp-'))) {
    it(name.slice(6, -4).replaceAll('-', ' '), async () => {
      const transcript = readTranscript(name);
      const pair = await openPtyPair(folder, name.slice(0, -4));
      const farEnd = new SerialPort({ path: pair.deviceEnd, baudRate: 19_200, autoOpen: false });
      await new Promise<void>((resolve, reject) =>
        farEnd.open((error) => (error ? reject(error) : resolve())),
      );
      try {
        await check(name, transcript, rtuBus(pair.gatewayEnd), replay(transcript, farEnd));
      } finally {
        await new Promise<void>((resolve) => farEnd.close(() => resolve()));
        await pair.close();
      }
    });
  }
});

describe('each fault of Modbus TCP, over a socket', () => {
  for (const name of names.filter((name) => name.startsWith('fault-tcp-'))) {
    it(name.slice(10, -4).replaceAll('-', ' '), async () => {
      const transcript = readTranscript(name);
      const sockets: Socket[] = [];
      const server: Server = createServer((socket) => sockets.push(socket.on('error', () => {})));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const played = once(server, 'connection').then(([socket]) => replay(transcript, socket as Socket));
      try {
        await check(name, transcript, tcpBus((server.address() as AddressInfo).port), played);
      } finally {
        for (const socket of sockets) socket.destroy();
        server.close();
      }
    });
  }
});
