import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { spawn } from 'node:child_process';
import { MerestoneError } from '../../src/base/error.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { ConfigRefused } from '../../src/config/config-refused.ts';
import { connectControl } from '../../src/admin/control-client.ts';
import type { TailItem } from '../../src/admin/control-protocol.ts';
import {
  type ControlHandlers,
  type ControlServer,
  type Refusal,
  startControlServer,
} from '../../src/admin/control-server.ts';
import type { GatewayStatus } from '../../src/status/status.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { randomBytesFrom } from '../support/random.ts';

const isRoot = process.getuid!() === 0;
const status = { version: '9.9.9', startedAt: 1, at: 3, uptimeMs: 2, configFile: '/x', buses: [], silos: [] };

function sampleOf(device: string, value: number): TailItem {
  return { silo: 'north', sample: { device, wallMs: 1, monotonicMs: 1, values: { value } } };
}

describe('control socket', () => {
  let folder: string;
  let socketPath: string;
  let server: ControlServer;
  const listeners = new Set<(item: TailItem) => void>();
  const asked: string[] = [];
  const refusals: Refusal[] = [];
  let fault: Error | undefined;
  const answered = { status: 0 };
  const emit = (item: TailItem): void => listeners.forEach((listener) => listener(item));
  const handlers: ControlHandlers = {
    status: (): GatewayStatus => {
      answered.status += 1;
      return status;
    },
    devices: () => [],
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reload: async (by) => {
      asked.push(by);
      if (fault !== undefined) throw fault;
      throw new MerestoneError('ConfigInvalid', 'three faults', { hint: 'mend them', subject: 'x.yaml' });
    },
    request: async (method, params, by) => {
      if (method === 'who') return by;
      if (method === 'echo') return params;
      throw new MerestoneError('ControlInvalid', `no method '${method}'`);
    },
    refused: (refusal) => refusals.push(refusal),
  };
  const start = (): Promise<ControlServer> =>
    startControlServer(socketPath, handlers, { logger: silentLogger });

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'merestone-control-'));
    socketPath = path.join(folder, 'run', 'control.sock');
    server = await start();
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  /** Sends raw bytes; resolves with the first `lines` lines that come back, or all until the end. */
  async function talk(bytes: string | Buffer, lines = 1): Promise<string[]> {
    const socket = connect(socketPath);
    socket.on('error', () => {});
    socket.write(bytes);
    const got = await readLines(socket, lines);
    socket.destroy();
    return got;
  }

  async function readLines(socket: Socket, lines: number): Promise<string[]> {
    let text = '';
    for await (const piece of socket.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
      text += piece as string;
      if (text.split('\n').length > lines) break;
    }
    return text.split('\n').filter((line) => line !== '');
  }

  it('answers requests, each under its own id', async () => {
    const client = await connectControl(socketPath);
    const answers = await Promise.all([client.request('status'), client.request('echo', { a: [1, 'ü'] })]);
    assert.deepEqual(answers, [status, { a: [1, 'ü'] }]);
    client.close();
  });

  it("carries the daemon's own errors, code and hint included", async () => {
    const client = await connectControl(socketPath);
    await assert.rejects(client.request('reload'), {
      code: 'ConfigInvalid',
      hint: 'mend them',
      subject: 'x.yaml',
    });
    await assert.rejects(client.request('nope'), { code: 'ControlInvalid' });
    client.close();
  });

  it('can be used only by its owner and group', () => {
    assert.equal(statSync(socketPath).mode & 0o777, 0o660);
  });

  it('takes the user from the kernel, not from the request', async () => {
    const client = await connectControl(socketPath);
    asked.length = 0;
    await assert.rejects(client.request('reload', { by: 'another' }));
    assert.equal(await client.request('who', { by: 'another' }), userInfo().username);
    assert.deepEqual(asked, [userInfo().username]);
    client.close();
  });

  it('tells a member of its group from its owner, and refuses other users', {
    skip: !isRoot && 'needs root',
  }, async () => {
    const [member, otherUser, group] = [54_321, 54_322, 54_320];
    chmodSync(folder, 0o755);
    chmodSync(path.dirname(socketPath), 0o755);
    chownSync(socketPath, 0, group);
    assert.equal(await askAs(member, group), '{"id":1,"result":"54321"}');
    assert.equal(await askAs(otherUser, otherUser), 'EACCES');
  });

  /** What a process of that user gets from `who`, or the code of the error. */
  async function askAs(uid: number, gid: number): Promise<string> {
    const program = `
      const socket = require('node:net').connect(${JSON.stringify(socketPath)});
      socket.on('error', ({ code }) => process.stdout.write(code));
      socket.on('connect', () => socket.write('{"id":1,"method":"who"}\\n'));
      socket.on('data', (bytes) => { process.stdout.write(bytes); socket.destroy(); });
    `;
    const child = spawn(process.execPath, ['-e', program], {
      uid,
      gid,
      cwd: '/',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let answer = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (answer += text));
    await once(child, 'close');
    return answer.trim();
  }

  it('reports a refusal with user, method and reason', async () => {
    const by = userInfo().username;
    const untilTold = async (count: number): Promise<Refusal[]> => {
      while (refusals.length < count) await pause(5);
      return refusals.splice(0);
    };
    await untilTold(0);
    await talk('nonsense\n{"id":1,"method":"nope"}\n{"id":2,"method":"tail","params":{"silos":1}}\n', 3);
    assert.deepEqual(
      (await untilTold(3)).map(({ error, ...who }) => [who, (error as MerestoneError).message]),
      [
        [{ by, method: '-' }, 'a request is one line of JSON with id and method'],
        [{ by, method: 'nope' }, "no method 'nope'"],
        [{ by, method: 'tail' }, 'silos and devices are lists of names'],
      ],
    );
  });

  it('passes the faults of a configuration through unchanged', async () => {
    const client = await connectControl(socketPath);
    const faults = [{ file: '/x.yaml', line: 1, column: 2, message: 'bad', hint: 'mend it' }];
    fault = new ConfigRefused('/x.yaml', faults);
    await assert.rejects(client.request('reload'), { code: 'ConfigInvalid', exitCode: 78, faults });
    fault = undefined;
    client.close();
  });

  it('streams samples that pass the filter, and stops listening when the client goes', async () => {
    const client = await connectControl(socketPath);
    const seen: TailItem[] = [];
    const aborter = new AbortController();
    const tail = client.tail(
      { devices: ['a'] },
      {
        item: (item) => {
          seen.push(item);
          if (seen.length === 2) aborter.abort();
        },
        lost: () => assert.fail('nothing was lost'),
      },
      aborter.signal,
    );
    while (listeners.size === 0) await pause(5);
    for (const device of ['a', 'b', 'a']) emit(sampleOf(device, 1));
    await tail;
    assert.deepEqual(
      seen.map(({ sample }) => sample.device),
      ['a', 'a'],
    );
    client.close();
    while (listeners.size > 0) await pause(5);
  });

  it('skips and counts samples for a slow reader, and buffers no more than its limit', async () => {
    const socket = connect(socketPath);
    socket.write('{"id":7,"method":"tail"}\n');
    while (listeners.size === 0) await pause(5);
    socket.pause();
    const sent = 20_000;
    const before = process.memoryUsage().external + process.memoryUsage().heapUsed;
    for (let index = 0; index < sent; index++) {
      emit(sampleOf('a'.repeat(64), index));
      if (index % 1000 === 0) await pause(1);
    }
    const grown = process.memoryUsage().external + process.memoryUsage().heapUsed - before;
    assert.ok(grown < 20_000_000, `grew by ${grown} bytes`);
    let got = 0;
    let lost = 0;
    let text = '';
    for await (const piece of socket.setEncoding('utf8')) {
      text += piece as string;
      const lines = text.split('\n');
      text = lines.pop()!;
      for (const line of lines) {
        const reply = JSON.parse(line) as { item?: unknown; lost?: number };
        got += reply.item === undefined ? 0 : 1;
        lost += reply.lost ?? 0;
      }
      if (got + lost === sent) break;
    }
    assert.ok(lost > 0, 'a reader that slow must lose some');
    assert.equal(got + lost, sent);
  });

  it('reads requests no faster than its answers are read, and answers all in the end', async () => {
    const asks = 4000;
    // As long as the longest request is, and fewer than may wait in one piece that is read.
    const ask = `{"id":1,"method":"status","params":"${'x'.repeat(8000)}"}\n`;
    answered.status = 0;
    status.configFile = 'y'.repeat(8000);
    const socket = connect(socketPath);
    for (let count = 0; count < asks; count++) socket.write(ask);
    let before = -1;
    while (answered.status === 0 || answered.status > before) {
      before = answered.status;
      await pause(200);
    }
    assert.ok(
      answered.status < asks / 4,
      `${answered.status} of ${asks} were answered although no answer was read`,
    );
    let answers = 0;
    let refused = '';
    for await (const line of createInterface(socket)) {
      if (!line.includes('"result"')) refused = line;
      if (++answers === asks) break;
    }
    assert.equal(refused, '');
    assert.equal(answered.status, asks);
    socket.destroy();
    status.configFile = '/x';
  });

  it('hangs up on a client that sends endless nonsense and reads nothing', async () => {
    const socket = connect(socketPath);
    socket.on('error', () => {});
    const closed = new Promise((resolve) => socket.on('close', resolve));
    const nonsense = '\n'.repeat(65_536);
    while (!socket.destroyed && socket.writableLength < 64 * 65_536) {
      socket.write(nonsense);
      await pause(5);
    }
    socket.resume();
    await closed;
    assert.match((await talk('{"id":1,"method":"status"}\n'))[0]!, /9\.9\.9/);
  });

  const hostile: [string, string | Buffer, RegExp][] = [
    ['no JSON', 'GET / HTTP/1.1\r\n', /one line of JSON/],
    ['an array', '[]\n', /one line of JSON/],
    ['null', 'null\n', /one line of JSON/],
    ['an empty line', '\n', /one line of JSON/],
    ['no id', '{"method":"status"}\n', /one line of JSON/],
    ['a fraction as id', '{"id":1.5,"method":"status"}\n', /one line of JSON/],
    ['a method that is no text', '{"id":1,"method":["status"]}\n', /one line of JSON/],
    ['broken UTF-8', Buffer.from([0xff, 0xfe, 0x00, 0x0a]), /one line of JSON/],
    ['a line without end', Buffer.alloc(70_000, 'x'), /more than 65536 bytes/],
    ['an invalid filter', '{"id":1,"method":"tail","params":{"silos":"north"}}\n', /lists of names/],
    ['invalid parameters', '{"id":1,"method":"tail","params":7}\n{"id":2,"method":"tail"}\n', /null/],
    ['__proto__ as a method', '{"id":1,"method":"__proto__"}\n', /no method/],
  ];
  for (const [name, bytes, answer] of hostile) {
    it(`survives ${name}`, async () => {
      const [line] = await talk(bytes);
      assert.match(line!, answer);
      assert.match((await talk('{"id":1,"method":"status"}\n'))[0]!, /9\.9\.9/);
    });
  }

  it('survives ten thousand random bytes at a time', async () => {
    for (let round = 0; round < 50; round++) {
      const bytes = randomBytesFrom(round, 10_000);
      await talk(Buffer.concat([bytes, Buffer.from('\n')]), 1);
    }
    assert.match((await talk('{"id":1,"method":"status"}\n'))[0]!, /9\.9\.9/);
  });

  it('refuses more pending requests than its limit, and answers the accepted ones', async () => {
    const flood = Array.from({ length: 200 }, (_, id) => `{"id":${id},"method":"echo"}\n`).join('');
    const lines = await talk(flood, 200);
    assert.equal(lines.length, 200);
    assert.ok(lines.some((line) => line.includes('too many requests')));
    assert.ok(lines.some((line) => line.includes('"result"')));
  });

  it('keeps sixteen idle connections, and ends the oldest for the next', async () => {
    const clock = new FakeClock();
    const file = path.join(folder, 'crowded.sock');
    const crowded = await startControlServer(file, handlers, { logger: silentLogger, clock });
    const sockets: Socket[] = [];
    for (let count = 0; count < 16; count++) {
      const socket = connect(file);
      sockets.push(socket);
      await once(socket, 'connect');
      // The server has it when it has answered.
      socket.write('{"id":1,"method":"echo"}\n');
      await readLines(socket, 1);
    }
    clock.advance(1000);
    refusals.length = 0;
    const next = await connectControl(file);
    assert.equal(((await next.request('status')) as GatewayStatus).version, '9.9.9');
    assert.match((await readLines(sockets[0]!, 1))[0]!, /"id":null.*too many connections/);
    assert.deepEqual(
      refusals.map(({ method }) => method),
      ['-'],
    );
    clock.advance(59_000);
    assert.match((await readLines(sockets[1]!, 1))[0]!, /nothing was asked/);
    next.close();
    for (const socket of sockets) socket.destroy();
    await crowded.close();
  });

  it('has sixteen tails at most, and still answers status requests', async () => {
    const clients = await Promise.all(Array.from({ length: 17 }, () => connectControl(socketPath)));
    const stop = new AbortController();
    const ignore = { item: () => {}, lost: () => {} };
    const tails = clients.map((client) => client.tail({}, ignore, stop.signal).then(() => 'stopped', String));
    const [first] = await Promise.all([
      Promise.race(tails),
      connectControl(socketPath).then(async (client) => {
        assert.equal(((await client.request('status')) as GatewayStatus).version, '9.9.9');
        client.close();
      }),
    ]);
    assert.match(first, /16 tails are on already/);
    stop.abort();
    const ends = await Promise.all(tails);
    assert.equal(ends.filter((end) => end === 'stopped').length, 16);
    for (const client of clients) client.close();
  });

  it('refuses to start if another daemon answers, and does not disturb it', async () => {
    await assert.rejects(start(), { code: 'DaemonRunning', exitCode: 69 });
    assert.match((await talk('{"id":1,"method":"status"}\n'))[0]!, /9\.9\.9/);
  });

  it('replaces a socket that a killed daemon left', async () => {
    const stale = path.join(folder, 'stale.sock');
    const script = `require('node:net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await once(spawn(process.execPath, ['-e', script]), 'exit');
    assert.ok(statSync(stale).isSocket());
    const second = await startControlServer(stale, handlers, { logger: silentLogger });
    await second.close();
    assert.equal(statSync(stale, { throwIfNoEntry: false }), undefined);
  });

  it('never replaces a file that is no socket', async () => {
    const file = path.join(folder, 'file');
    writeFileSync(file, 'precious');
    await assert.rejects(startControlServer(file, handlers, { logger: silentLogger }), { code: 'Io' });
    await assert.rejects(startControlServer(path.join(file, 'x.sock'), handlers, { logger: silentLogger }), {
      code: 'Io',
    });
    await assert.rejects(
      startControlServer(path.join(folder, 'x'.repeat(120)), handlers, { logger: silentLogger }),
      { code: 'Io' },
    );
  });

  it('reports to the client that no daemon listens, or that it has gone', async () => {
    await assert.rejects(connectControl(path.join(folder, 'absent.sock')), {
      code: 'DaemonUnreachable',
      exitCode: 69,
    });
    const brief = await startControlServer(path.join(folder, 'brief.sock'), handlers, {
      logger: silentLogger,
    });
    const client = await connectControl(path.join(folder, 'brief.sock'));
    const tail = client.tail({}, { item: () => {}, lost: () => {} }, new AbortController().signal);
    while (listeners.size === 0) await pause(5);
    await brief.close();
    await assert.rejects(tail, { code: 'DaemonUnreachable' });
    await assert.rejects(client.request('status'), { code: 'DaemonUnreachable' });
    client.close();
  });

  it('reports to the client that another program answers', async () => {
    const other = path.join(folder, 'other.sock');
    const liar = createServer((socket) => socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    liar.listen(other);
    await once(liar, 'listening');
    const client = await connectControl(other);
    await assert.rejects(client.request('status'), /no Merestone daemon/);
    client.close();
    await new Promise((resolve) => liar.close(resolve));
  });
});
