import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { modbusDevice, registerPoint, tcpBus } from '../../support/modbus-options.ts';
import { mbapFrame } from '../../support/modbus-frames.ts';
import { runFieldbus } from '../../support/running-fieldbus.ts';
import { until } from '../../support/until.ts';

interface Endpoint extends AsyncDisposable {
  port: number;
  connections: number;
  mostInFlight: number;
}

/** Answers with each register's own address, the last request first, once `together` have come or no more come. */
async function startEndpoint(together: number): Promise<Endpoint> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}));
    let waiting: Buffer[] = [];
    let timer: NodeJS.Timeout | undefined;
    const answer = (): void => {
      clearTimeout(timer);
      const frames = waiting.toReversed().map((request) => {
        const address = request.readUInt16BE(8);
        return mbapFrame(request.readUInt16BE(0), request[6]!, 3, 2, address >> 8, address & 0xff);
      });
      waiting = [];
      socket.write(Buffer.concat(frames));
    };
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; at += 12) waiting.push(chunk.subarray(at, at + 12));
      endpoint.mostInFlight = Math.max(endpoint.mostInFlight, waiting.length);
      clearTimeout(timer);
      if (waiting.length >= together) answer();
      else timer = setTimeout(answer, 50);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint: Endpoint = {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.length;
    },
    mostInFlight: 0,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return endpoint;
}

describe('requests in flight', () => {
  for (const pipeline of [1, 4, 16]) {
    it(`are ${pipeline} at most, on one connection for all units, and answered in any order`, async () => {
      await using endpoint = await startEndpoint(pipeline);
      const limits = { registersMax: 125, bitsMax: 2000, gapMax: 0, requestGapMs: 0 };
      const devices = [1, 2, 3].map((unitId) => {
        const points = Array.from({ length: 8 }, (_, index) => {
          const address = unitId * 1000 + index * 10;
          return registerPoint(`p${address}`, { table: 'holding', address, type: 'uint16', everyMs: 100 });
        });
        return modbusDevice(`u${unitId}`, {
          bus: 'plant',
          unitId,
          points,
          limits,
          responseTimeoutMs: 10_000,
        });
      });
      await using running = runFieldbus([tcpBus(endpoint.port, { pipeline })], devices);
      await until(() => running.samples.length >= 9, 'nine samples');
      for (const { values, quality } of running.samples) {
        assert.equal(quality, undefined);
        for (const [name, value] of Object.entries(values)) assert.equal(name, `p${String(value)}`);
        assert.equal(Object.keys(values).length, 8);
      }
      assert.equal(endpoint.mostInFlight, pipeline);
      assert.equal(endpoint.connections, 1);
    });
  }
});
