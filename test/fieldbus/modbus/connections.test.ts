import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BusOptions, ModbusDeviceOptions } from '../../../src/fieldbus/options.ts';
import { ConnectDelay } from '../../../src/fieldbus/port/connect-delay.ts';
import { mbapFrame, rtuFrame } from '../../support/modbus-frames.ts';
import { modbusDevice, registerPoint, tcpBus } from '../../support/modbus-options.ts';
import {
  answerTo,
  type EndpointBehaviour,
  registersFor,
  type SimulatedTcpFieldbus,
  simulateEndpoint,
} from '../../support/simulated-endpoint.ts';

function device(everyMs = 1000): ModbusDeviceOptions {
  const points = [0, 200].map((address) =>
    registerPoint(`p${address}`, { table: 'holding', address, type: 'uint16', everyMs }),
  );
  return modbusDevice('d', { bus: 'plant', unitId: 1, everyMs, points });
}

function start(
  behaviour: EndpointBehaviour,
  everyMs = 1000,
  bus: Partial<BusOptions> = {},
): SimulatedTcpFieldbus {
  return simulateEndpoint({ ...tcpBus(502), ...bus } as BusOptions, [device(everyMs)], () => behaviour);
}

/** If it was asked too early, for the whole connection. */
function early(neededMs: number, otherwise: EndpointBehaviour): EndpointBehaviour {
  const spoiled = new WeakSet();
  return (request, connection) => {
    if (request.atMs - connection.openedAtMs < neededMs) spoiled.add(connection);
    if (spoiled.has(connection)) otherwise(request, connection);
    else connection.send(answerTo(request), 5);
  };
}

describe('a device that needs a pause after the connection', () => {
  for (const [what, otherwise] of [
    ['ignores', () => {}],
    ['closes', (_request, connection) => connection.close(2)],
  ] as [string, EndpointBehaviour][]) {
    for (const neededMs of [300, 1000, 2500, 5000]) {
      it(`of ${neededMs} ms, and ${what} a connection on which it is asked before, is read without being told`, async () => {
        const { clock, whole, fieldbus, bus, log } = start(early(neededMs, otherwise));
        await clock.advanceAsync(neededMs < 5000 ? 60_000 : 120_000);
        const before = whole('d').length;
        assert.ok(before > 10, `${before} samples by then`);
        await clock.advanceAsync(60_000);
        assert.ok(whole('d').length - before >= 59);
        assert.equal(bus().state, 'open');
        assert.ok(log.length <= 12, `${log.length} lines`);
        await fieldbus.stop();
      });

      it(`of ${neededMs} ms, and ${what}, is read at once with connectDelay`, async () => {
        const bus = { connectDelayMs: neededMs };
        const { clock, whole, fieldbus, endpoint } = start(early(neededMs, otherwise), 1000, bus);
        await clock.advanceAsync(neededMs + 10_000);
        assert.ok(whole('d').length >= 9);
        assert.equal(endpoint.connections.length, 1);
        await fieldbus.stop();
      });
    }
  }

  it('is learned for good once a connection without the pause has failed again', () => {
    const delay = new ConnectDelay(0);
    delay.useless();
    assert.equal(delay.ms, 1500);
    delay.useful();
    delay.again();
    assert.equal(delay.ms, 0, 'it may have been chance');
    delay.useless();
    assert.equal(delay.ms, 1500);
    delay.useful();
    delay.again();
    assert.equal(delay.ms, 1500);
  });
});

describe('a connection that is closed after every answer', () => {
  for (const everyMs of [1000, 250]) {
    it(`is no fault: every sample whole each ${everyMs} ms, the bus open, two lines in the log`, async () => {
      const { clock, whole, of, fieldbus, bus, log } = start((request, connection) => {
        connection.send(answerTo(request), 5);
        connection.close(6);
      }, everyMs);
      const states = new Set<string>();
      for (let turns = 0; turns < 400; turns += 1) {
        await clock.advanceAsync(100);
        states.add(bus().state);
      }
      const expected = 40_000 / everyMs;
      assert.ok(whole('d').length >= expected - 1, `${whole('d').length} of ${expected}`);
      assert.equal(of('d').length, whole('d').length);
      assert.deepEqual(states, new Set(['open']));
      assert.deepEqual(
        log.map(({ event }) => event),
        ['port open'],
      );
      await fieldbus.stop();
    });
  }

  it('is no fault with RTU frames over TCP either', async () => {
    const { clock, whole, of, fieldbus, bus } = start(
      (request, connection) => {
        const asked = { ...request, unitId: request.bytes[0]!, pdu: request.bytes.subarray(1, -2) };
        connection.send(rtuFrame(1, ...registersFor(asked)), 5);
        connection.close(6);
      },
      1000,
      { kind: 'modbus-rtu-over-tcp' },
    );
    await clock.advanceAsync(40_000);
    assert.ok(whole('d').length >= 37, `${whole('d').length} of 40`);
    const lost = of('d').filter(({ quality }) => quality !== undefined);
    assert.ok(lost.length <= 3, 'until it is known');
    assert.ok(lost.every(({ monotonicMs }) => monotonicMs < 1_005_000));
    assert.equal(bus().state, 'open');
    await fieldbus.stop();
  });

  it('for good is lost when it can’t be opened again', async () => {
    const { clock, fieldbus, endpoint, of, bus } = start((request, connection) => {
      connection.send(answerTo(request), 5);
      connection.close(6);
    });
    await clock.advanceAsync(10_000);
    endpoint.refusal = 'connection refused';
    await clock.advanceAsync(10_000);
    assert.equal(bus().state, 'lost');
    assert.equal(of('d').at(-1)?.quality?.['p0'], 'offline');
    endpoint.refusal = null;
    await clock.advanceAsync(10_000);
    assert.equal(bus().state, 'open');
    assert.equal(of('d').at(-1)?.quality, undefined);
    await fieldbus.stop();
  });
});

describe('a peer that makes no use of its connection', () => {
  const others: [string, EndpointBehaviour][] = [
    [
      'speaks another protocol',
      (request, connection) => {
        const answer = answerTo(request);
        answer[3] = 1;
        connection.send(answer, 5);
      },
    ],
    [
      'sends text',
      (_request, connection) => connection.send(Buffer.from('login: please type your name\r\n'), 5),
    ],
    ['closes what it is asked on', (_request, connection) => connection.close(1)],
  ];
  for (const [what, behaviour] of others) {
    it(`and ${what} is tried in growing pauses, with a few lines a minute`, async () => {
      const { clock, fieldbus, endpoint, log, device, whole } = start(behaviour);
      await clock.advanceAsync(300_000);
      assert.ok(
        endpoint.connections.length <= 75,
        `${endpoint.connections.length} connections in five minutes`,
      );
      assert.ok(endpoint.connections.length >= 20);
      assert.ok(log.length <= 15, `${log.length} lines: ${log.map(({ event }) => event).join()}`);
      assert.equal(device('d').state, 'offline');
      endpoint.behaviour = (request, connection) => connection.send(answerTo(request), 5);
      await clock.advanceAsync(30_000);
      assert.ok(whole('d').length > 10, 'and it is read once it speaks Modbus');
      await fieldbus.stop();
    });
  }

  it('says what comes instead', async () => {
    const { clock, fieldbus, device } = start(others[0]![1]);
    await clock.advanceAsync(1000);
    assert.match(device('d').reason!, /not Modbus TCP; check host and port/);
    await fieldbus.stop();
  });
});

describe('stray bytes in a stream of Modbus TCP', () => {
  const strays = [
    [0],
    [0xff],
    [0, 0],
    [0xde, 0xad],
    [0, 0, 0],
    [0, 0, 0, 0],
    [0, 0, 0, 0, 0, 6],
    [0x0d, 0x0a],
  ];
  for (const stray of strays) {
    for (const place of ['before', 'after'] as const) {
      it(`${place} each frame (${Buffer.from(stray).toString('hex')}) cost no value and no connection`, async () => {
        const { clock, whole, of, fieldbus, endpoint } = start((request, connection) => {
          const parts = [Buffer.from(stray), answerTo(request)];
          connection.send(Buffer.concat(place === 'before' ? parts : parts.toReversed()), 5);
        });
        await clock.advanceAsync(45_000);
        assert.ok(whole('d').length >= 45, `${whole('d').length} of 45`);
        assert.equal(of('d').length, whole('d').length);
        assert.equal(endpoint.connections.length, 1);
        for (const { values } of whole('d')) assert.deepEqual(values, { p0: 0, p200: 200 });
        await fieldbus.stop();
      });
    }
  }
});

describe('a frame whose header announces another length', () => {
  /** The exception frame with this in its length field, and this many bytes after it. */
  const exceptions = [2, 3, 4, 5, 10, 255].flatMap((announced) =>
    [0, 1, Math.max(0, announced - 3)].map((extra) => ({ announced, extra })),
  );
  // Byte-swapped, negative, and beyond every frame that there is.
  const impossible = [0, 1, 256, 0x0300, 0xffff].map((announced) => ({ announced, extra: 0 }));
  for (const { announced, extra } of [...exceptions, ...impossible]) {
    it(`an exception with length ${announced} and ${extra} bytes behind it costs that point alone`, async () => {
      const { clock, of, fieldbus, endpoint } = start((request, connection) => {
        if (request.pdu.readUInt16BE(1) !== 200) return connection.send(answerTo(request), 5);
        const frame = mbapFrame(request.transactionId, 1, 0x83, 2);
        frame[4] = announced >> 8;
        frame[5] = announced & 0xff;
        connection.send(Buffer.concat([frame, Buffer.alloc(extra)]), 5);
      });
      await clock.advanceAsync(30_000);
      assert.ok(of('d').length >= 30);
      for (const { values, quality } of of('d')) {
        assert.deepEqual([values, quality], [{ p0: 0 }, { p200: 'exception:2' }]);
      }
      assert.equal(endpoint.connections.length, 1);
      await fieldbus.stop();
    });
  }

  it('an answer with more bytes inside its length than it says it has is taken by its own count', async () => {
    const { clock, whole, fieldbus } = start((request, connection) => {
      const answer = answerTo(request);
      answer[5]! += 3;
      connection.send(Buffer.concat([answer, Uint8Array.of(1, 2, 3)]), 5);
    });
    await clock.advanceAsync(20_000);
    assert.ok(whole('d').length >= 20);
    await fieldbus.stop();
  });

  it('an answer whose length is byte-swapped is taken by its own count', async () => {
    const { clock, whole, fieldbus, endpoint } = start((request, connection) => {
      const answer = answerTo(request);
      answer.subarray(4, 6).reverse();
      connection.send(answer, 5);
    });
    await clock.advanceAsync(20_000);
    assert.ok(whole('d').length >= 20);
    assert.equal(endpoint.connections.length, 1);
    await fieldbus.stop();
  });

  it('an answer that never becomes whole costs itself, and not the next', async () => {
    const { clock, of, fieldbus, device } = start((request, connection) => {
      const answer = answerTo(request);
      if (request.pdu.readUInt16BE(1) === 200) answer.fill(100, 5, 6).fill(100, 8, 9);
      connection.send(answer, 5);
    });
    await clock.advanceAsync(30_000);
    assert.ok(of('d').filter(({ values }) => values['p0'] === 0).length >= 12);
    assert.match(device('d').reason!, /wrong length|no answer/);
    await fieldbus.stop();
  });
});
