import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import { after, describe, it, type TestContext } from 'node:test';
import { SerialPort } from 'serialport';
import { systemClock } from '../../../../src/base/clock.ts';
import type { Outcome } from '../../../../src/fieldbus/modbus/modbus-client.ts';
import { openBus } from '../../../../src/fieldbus/modbus/modbus-endpoint.ts';
import { AsciiFramer } from '../../../../src/fieldbus/modbus/transport/ascii-framer.ts';
import { frameChannel } from '../../../../src/fieldbus/modbus/transport/frame-channel.ts';
import type { ModbusBusOptions } from '../../../../src/fieldbus/options.ts';
import { openPtyPair } from '../../../../src/simulator/pty.ts';
import { temporaryDirectory } from '../../../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });

/** What a unit sends for the nth request, given its right answer: unit id and PDU, and when. */
type Answer = (sound: Buffer, nth: number) => { body: Buffer; afterMs?: number }[];

/** The right answer to a request (unit id and PDU): each register holds its own address. */
function soundAnswer(request: Buffer): Buffer {
  const [address, quantity] = [request.readUInt16BE(2), request.readUInt16BE(4)];
  const body = Buffer.from([request[0]!, request[1]!, 2 * quantity, ...Buffer.alloc(2 * quantity)]);
  for (let index = 0; index < quantity; index += 1) body.writeUInt16BE(address + index, 3 + 2 * index);
  return body;
}

interface Unit {
  bus: ModbusBusOptions;
  requests: () => number;
}

/** Sends after a delay, and never before what was to be sent earlier: a unit answers one request after the other. */
function sender(t: TestContext): (afterMs: number, send: () => void) => void {
  const timers = new Set<NodeJS.Timeout>();
  t.after(() => timers.forEach(clearTimeout));
  let lastAtMs = 0;
  return (afterMs, send) => {
    const nowMs = performance.now();
    lastAtMs = Math.max(lastAtMs + 1, nowMs + afterMs);
    timers.add(setTimeout(send, lastAtMs - nowMs));
  };
}

/** A unit behind UDP; `wrap` makes the datagram of an answer. */
async function udpUnit(
  t: TestContext,
  answer: Answer,
  wrap = (body: Buffer, request: Buffer): Buffer => framed(body, request.readUInt16BE(0)),
): Promise<Unit> {
  const socket: Socket = createSocket('udp4');
  t.after(() => socket.close());
  const inOrder = sender(t);
  let requests = 0;
  socket.on('message', (request, from) => {
    requests += 1;
    for (const { body, afterMs = 0 } of answer(soundAnswer(request.subarray(6)), requests)) {
      inOrder(afterMs, () => socket.send(wrap(body, request), from.port, from.address));
    }
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const bus = { name: 'udp', deadShareMax: 0.1, kind: 'modbus-udp', host: '127.0.0.1' } as const;
  return { bus: { ...bus, port: socket.address().port }, requests: () => requests };
}

function framed(body: Buffer, transactionId: number, length = body.length): Buffer {
  const header = Buffer.alloc(6);
  header.writeUInt16BE(transactionId, 0);
  header.writeUInt16BE(length, 4);
  return Buffer.concat([header, body]);
}

/** A Modbus ASCII unit behind a PTY; `noise` is what it says, in latin1, before its nth answer. */
async function asciiUnit(
  t: TestContext,
  name: string,
  answer: Answer,
  noise = (_nth: number): string => '',
): Promise<Unit> {
  const pair = await openPtyPair(folder, name);
  t.after(() => pair.close());
  const line = { baudRate: 19_200, dataBits: 8, parity: 'none', stopBits: 1 } as const;
  const serial = new SerialPort({ path: pair.deviceEnd, ...line });
  await once(serial, 'open');
  t.after(() => new Promise<void>((resolve) => serial.close(() => resolve())));
  const inOrder = sender(t);
  let text = '';
  let requests = 0;
  serial.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
      const request = Buffer.from(text.slice(text.indexOf(':') + 1, end), 'hex');
      text = text.slice(end + 2);
      requests += 1;
      const before = Buffer.from(noise(requests), 'latin1');
      if (before.length > 0) inOrder(0, () => serial.write(before));
      for (const { body, afterMs = 0 } of answer(soundAnswer(request), requests)) {
        inOrder(afterMs, () => serial.write(asciiFrame(body)));
      }
    }
  });
  const bus = { name: 'ascii', deadShareMax: 0.1, kind: 'modbus-ascii', port: pair.gatewayEnd } as const;
  return { bus: { ...bus, ...line }, requests: () => requests };
}

/** V1.02 §2.5.2.2: `:`, two hex digits a byte, the LRC, CR and LF. */
function asciiFrame(body: Buffer): string {
  const lrc = (256 - (body.reduce((sum, byte) => sum + byte, 0) % 256)) % 256;
  return `:${Buffer.concat([body, Buffer.of(lrc)])
    .toString('hex')
    .toUpperCase()}\r\n`;
}

/** One register at each address, one after the other. */
async function readEach(bus: ModbusBusOptions, addresses: readonly number[]): Promise<Outcome[]> {
  await using opened = await openBus(bus, { clock: systemClock });
  const outcomes: Outcome[] = [];
  for (const address of addresses) {
    const request = { functionCode: 3, address, quantity: 1 } as const;
    outcomes.push(await opened.client.transact({ unitId: 1, request, timeoutMs: 250 }));
  }
  return outcomes;
}

/** Every value is right or absent. Returns how many were right. */
function assertNoneIsWrong(addresses: readonly number[], outcomes: readonly Outcome[]): number {
  let right = 0;
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.kind !== 'data') continue;
    assert.equal(Buffer.from(outcome.data).readUInt16BE(0), addresses[index], `request ${index}`);
    right += 1;
  }
  return right;
}

const addresses = [100, 200, 300, 400, 500, 600, 700, 800];
const kinds = {
  UDP: (t: TestContext, _name: string, answer: Answer) => udpUnit(t, answer),
  ASCII: asciiUnit,
};

for (const [kind, start] of Object.entries(kinds)) {
  describe(`Modbus over ${kind}`, () => {
    it('reads each register', async (t) => {
      const { bus } = await start(t, 'each', (body) => [{ body }]);
      assert.equal(assertNoneIsWrong(addresses, await readEach(bus, addresses)), addresses.length);
    });

    it('takes no late answer for the next request', async (t) => {
      // Every fourth answer comes when the next request has been sent.
      const late: Answer = (body, nth) => [{ body, afterMs: nth % 4 === 2 ? 400 : 0 }];
      const { bus, requests } = await start(t, 'late', late);
      const outcomes = await readEach(bus, addresses);
      const right = assertNoneIsWrong(addresses, outcomes);
      assert.ok(right >= 2, `${right} of ${requests()} right`);
    });

    it('takes no answer of another length, function code or unit', async (t) => {
      const strange = [
        Buffer.from([1, 3, 4, 0, 7, 0, 7]),
        Buffer.from([1, 4, 2, 0, 7]),
        Buffer.from([2, 3, 2, 0, 7]),
        Buffer.from([1, 3, 2, 7]),
        Buffer.from([1]),
      ];
      const { bus } = await start(t, 'strange', (_, nth) => [{ body: strange[nth % strange.length]! }]);
      const outcomes = await readEach(bus, addresses.slice(0, 5));
      for (const { kind: outcome } of outcomes) assert.match(outcome, /^(fault|offline)$/);
    });

    it('returns an exception with its code', async (t) => {
      const { bus } = await start(t, 'exception', () => [{ body: Buffer.from([1, 0x83, 2]) }]);
      const [outcome] = await readEach(bus, [100]);
      assert.ok(outcome?.kind === 'exception');
      assert.equal(outcome.exceptionCode, 2);
    });
  });
}

describe('a datagram', () => {
  for (const [what, wrap] of [
    ['of another transaction', (body: Buffer, request: Buffer) => framed(body, request.readUInt16BE(0) + 1)],
    [
      'that was cut',
      (body: Buffer, request: Buffer) => framed(body.subarray(0, 3), request.readUInt16BE(0), 5),
    ],
    [
      'with more than its header says',
      (body: Buffer, request: Buffer) => framed(body, request.readUInt16BE(0), 3),
    ],
    [
      'with the largest length',
      (body: Buffer, request: Buffer) => framed(body, request.readUInt16BE(0), 65_535),
    ],
    ['with a length of 0', (body: Buffer, request: Buffer) => framed(body, request.readUInt16BE(0), 0)],
    ['without a body', (_: Buffer, request: Buffer) => framed(Buffer.alloc(0), request.readUInt16BE(0))],
    [
      'of 60 kB',
      (body: Buffer, request: Buffer) =>
        framed(Buffer.concat([body, Buffer.alloc(60_000)]), request.readUInt16BE(0)),
    ],
  ] as const) {
    it(`${what} is no answer`, async (t) => {
      const { bus } = await udpUnit(t, (body) => [{ body }], wrap);
      const [outcome] = await readEach(bus, [100]);
      assert.equal(outcome?.kind, 'fault');
    });
  }
});

describe('a frame channel', () => {
  it('sends only reading function codes', () => {
    const sent: number[] = [];
    const transport = Object.assign(new EventEmitter(), {
      write: (frame: Buffer) => void sent.push(frame[1]!),
    });
    const events = { readable: () => {}, ended: () => {} };
    const channel = frameChannel(transport, events, () => Promise.resolve());
    for (let code = 0; code < 256; code += 1) {
      const frame = Uint8Array.of(1, code, 0, 0, 0, 1, 0, 0);
      if ([1, 2, 3, 4, 17, 43].includes(code)) channel.write(frame);
      else assert.throws(() => channel.write(frame), { code: 'Internal' });
    }
    assert.deepEqual(sent, [1, 2, 3, 4, 17, 43]);
  });
});

/** What is no frame of Modbus ASCII, though it has a colon, or an end, or both. */
const noFrames = [
  ':\r\n',
  'Boot:\r\n',
  'login: \r\n',
  'a:b\r\n',
  ':\nxx\r\n',
  ':0\r\n',
  ':00\r\n',
  ':0103\r\n',
  ':010302\r\r\n',
  ':zzzzzzzzzzzz\r\n',
  `:${'00'.repeat(256)}\r\n`,
  ':'.repeat(600),
  '\r\n'.repeat(300),
  `:${'0'.repeat(40_000)}`,
];

describe('other bytes on a Modbus ASCII line', () => {
  it('cost nothing but the answers that they are in', async (t) => {
    const noise = (nth: number): string => noFrames[nth - 1] ?? '';
    const { bus, requests } = await asciiUnit(t, 'noise', (body) => [{ body }], noise);
    const asked = [...noFrames.map((_, index) => 100 + index), 900];
    const outcomes = await readEach(bus, asked);
    assert.equal(requests(), asked.length);
    assert.ok(assertNoneIsWrong(asked, outcomes) >= 1);
    assert.equal(outcomes.at(-1)?.kind, 'data');
  });

  it('give nothing that is no whole frame, however they are cut', () => {
    const framer = new AsciiFramer();
    for (const text of noFrames) {
      for (const byte of Buffer.from(text, 'latin1')) assert.deepEqual(framer.push(Uint8Array.of(byte)), []);
    }
    const frame = asciiFrame(Buffer.from([1, 3, 2, 0, 100]));
    assert.deepEqual(framer.push(Buffer.from(`${frame}:\r\n:01${frame}`)), [
      Buffer.from(frame),
      Buffer.from(frame),
    ]);
  });

  it('give the longest frame, and none that is longer', () => {
    const framer = new AsciiFramer();
    const longest = Buffer.from(`:${'0A'.repeat(255)}\r\n`);
    assert.deepEqual(framer.push(longest), [longest]);
    assert.deepEqual(framer.push(Buffer.from(`:${'0A'.repeat(256)}\r\n`)), []);
    assert.deepEqual(framer.push(longest), [longest]);
  });
});
