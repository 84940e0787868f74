import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connectControl } from '../../src/admin/control-client.ts';
import {
  type ControlHandlers,
  type ControlServer,
  startControlServer,
} from '../../src/admin/control-server.ts';
import { type HttpServer, startHttpServer } from '../../src/admin/http-server.ts';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { judged } from '../../src/status/verdict/verdict.ts';
import { SlowClients, type Slowness } from '../support/slow-clients.ts';
import { gatewayStatus } from '../support/status.ts';
import { until } from '../support/until.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });
const dependencies = { clock: systemClock, logger: silentLogger };
const counts = [64, 200, 1000];
const checks = 40;
/** Far beyond what a check takes on a busy machine, and below what a client waits for. */
const answerMs = 20_000;

async function crowd(
  target: ConstructorParameters<typeof SlowClients>[0],
  count: number,
  slowness: Slowness,
  check: () => Promise<void>,
): Promise<void> {
  const clients = new SlowClients(target, count, slowness);
  try {
    await until(() => clients.connected >= count, `${count} slow clients`);
    for (let number = 0; number < checks; number++) await check();
  } finally {
    clients.end();
  }
}

const pipelined = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50);
const slowHttp: Record<string, Slowness> = {
  'say nothing': { sends: '' },
  'drip their headers': { sends: 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ', drips: 'a' },
  'drip a body': {
    sends: 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n',
    drips: 'a',
  },
  'read nothing of many answers': { sends: pipelined, reads: false },
};

for (const place of ['port', 'socket'] as const) {
  describe(`HTTP at a ${place} answers each health check while clients`, () => {
    let server: HttpServer;
    const socketPath = path.join(folder, 'http.sock');
    const address = place === 'port' ? { host: '127.0.0.1', port: 0 } : { socket: socketPath };
    before(async () => {
      server = await startHttpServer(address, () => judged(gatewayStatus()), dependencies);
    });
    after(() => server.close());
    const target = () =>
      place === 'port' ? { host: '127.0.0.1', port: server.port! } : { path: socketPath };

    const health = async (): Promise<void> => {
      const where = place === 'port' ? { host: '127.0.0.1', port: server.port } : { socketPath };
      const signal = AbortSignal.timeout(answerMs);
      const asked = httpRequest({
        ...where,
        path: '/healthz',
        headers: { host: 'localhost' },
        agent: false,
        signal,
      });
      asked.end();
      const [response] = await once(asked, 'response');
      response.resume();
      assert.equal(response.statusCode, 200);
      await once(response, 'end');
    };

    for (const [title, slowness] of Object.entries(slowHttp)) {
      for (const count of place === 'port' ? counts : [200]) {
        it(`${title}: ${count} of them`, () => crowd(target(), count, slowness, health));
      }
    }
  });
}

describe('HTTP limits the time', () => {
  const lifeOf = async (port: number, slowness: Slowness): Promise<string> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(slowness.sends);
    const drip = setInterval(() => socket.write(slowness.drips ?? ''), 200);
    let text = '';
    for await (const piece of socket.setEncoding('latin1')) text += piece;
    clearInterval(drip);
    return text;
  };

  it('of slow headers, of a body, and of a request that never comes', async () => {
    const server = await startHttpServer({ host: '127.0.0.1', port: 0 }, gatewayStatus, dependencies);
    const [headers, body, silence] = await Promise.all(
      ['drip their headers', 'drip a body', 'say nothing'].map((title) =>
        lifeOf(server.port!, slowHttp[title]!),
      ),
    );
    assert.match(headers!, /^HTTP\/1\.1 408 /);
    assert.match(body!, /^HTTP\/1\.1 200 .*connection: close/is);
    assert.match(silence!, /^(HTTP\/1\.1 408 |$)/);
    await server.close();
  });
});

const slowControl: Record<string, Slowness> = {
  'say nothing': { sends: '' },
  'drip a request': { sends: '{"id":1,', drips: ' ' },
  'read nothing of many answers': { sends: '{"id":1,"method":"status"}\n'.repeat(30), reads: false },
};

describe('the control socket answers each status while clients', () => {
  let server: ControlServer;
  const socketPath = path.join(folder, 'control.sock');
  const status = { ...gatewayStatus(), configFile: 'x'.repeat(20_000) };
  const handlers: ControlHandlers = {
    status: () => status,
    devices: () => [],
    subscribe: () => () => {},
    reload: async () => undefined,
    request: async () => undefined,
    refused: () => {},
  };
  before(async () => {
    server = await startControlServer(socketPath, handlers, dependencies);
  });
  after(() => server.close());

  const ask = async (): Promise<void> => {
    const client = await connectControl(socketPath);
    assert.deepEqual(await client.request('status', undefined, answerMs), status);
    client.close();
  };
  for (const [title, slowness] of Object.entries(slowControl)) {
    for (const count of counts) {
      it(`${title}: ${count} of them`, () => crowd({ path: socketPath }, count, slowness, ask));
    }
  }
});
