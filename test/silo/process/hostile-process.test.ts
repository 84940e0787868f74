import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import type { Isolate } from '../../../src/silo/host/isolate.ts';
import { connectProcess } from '../../../src/silo/host/process-isolate.ts';
import { HeardIsolate } from '../../support/heard-isolate.ts';
import { siloOptions } from '../../support/silo-options.ts';
import { siloStatus } from '../../support/status.ts';
import { until } from '../../support/until.ts';

const timeouts = { firstMessageMaxMs: 1500, silenceMaxMs: 1500 };
const startMessage = { options: siloOptions('north'), devices: [], configSha256: '00'.repeat(32) };
const here = '{"type":"here"}\n';
const status = `${JSON.stringify({ type: 'status', status: siloStatus('north') })}\n`;
const otherUid = 61_201;
const needsRoot = process.getuid!() === 0 ? false : 'only root can act as another user';

interface Peer {
  isolate: Isolate;
  heard: HeardIsolate;
  /** What the gateway said to it. */
  given: () => string;
}

function folderOf(test: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'merestone-hostile-'));
  test.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A silo's process that behaves as `act` says; the gateway connects and has messages for it. */
async function meet(
  test: TestContext,
  act: (socket: Socket) => void,
  folder = folderOf(test),
): Promise<Peer> {
  const path = join(folder, 'silo.sock');
  const sockets: Socket[] = [];
  let given = '';
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => (given += bytes.toString()));
    act(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const heard = new HeardIsolate();
  const isolate = connectProcess(path, { clock: systemClock, timeouts }, heard);
  isolate.post({ type: 'start', startMessage });
  test.after(async () => {
    isolate.end();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { isolate, heard, given: () => given };
}

const over = ({ heard }: Peer): Promise<void> => until(() => heard.ends.length > 0, 'its end');

describe('a hostile silo process', () => {
  it('that is mute counts as absent, and receives nothing', async (test) => {
    const peer = await meet(test, () => {});
    await over(peer);
    assert.deepEqual(peer.heard.ends, ['absent']);
    assert.match(peer.heard.faults[0]!, /hung: no sign of life for 1.5 s/);
    assert.equal(peer.given(), '');
  });

  it('that hangs after its first message counts as crashed', async (test) => {
    const peer = await meet(test, (socket) => socket.write(here + status));
    await over(peer);
    assert.deepEqual(peer.heard.ends, ['crashed']);
    assert.match(peer.heard.faults[0]!, /hung: no sign of life for 1.5 s/);
    assert.equal(peer.heard.messages.length, 1);
    assert.match(peer.given(), /^\{"type":"start"/);
  });

  it('that floods is cut off, and its later messages are ignored', async (test) => {
    const line = '{"type":"log","level":"info","event":"x","fields":{}}\n';
    const peer = await meet(test, (socket) => socket.write(here + line.repeat(50_000)));
    await over(peer);
    assert.deepEqual(peer.heard.ends, ['crashed']);
    assert.match(peer.heard.faults[0]!, /said more than 100 things a second/);
    assert.ok(peer.heard.messages.length <= 1200, `${peer.heard.messages.length} messages`);
  });

  it('is ignored after an invalid message, even within the same chunk', async (test) => {
    const peer = await meet(test, (socket) =>
      socket.write(`${here}{"type":"nonsense"}\n${status.repeat(3)}{no`),
    );
    await over(peer);
    assert.deepEqual(peer.heard.faults, ['it said something that no silo says']);
    assert.deepEqual(peer.heard.messages, []);
  });

  it('cannot write into the log through a parser’s error message', async (test) => {
    const peer = await meet(test, (socket) => socket.write(`${here}\u001b[2J\u202e\n`));
    await over(peer);
    assert.match(peer.heard.faults[0]!, /is not valid JSON/);
    assert.doesNotMatch(peer.heard.faults[0]!, /[\p{Cc}\u202e]/u);
  });

  it('is ignored before it has accepted the gateway', async (test) => {
    for (const words of [status, '{"type":"leaving"}\n', '{"type":"usage","usage":{}}\n']) {
      const peer = await meet(test, (socket) => socket.write(words + here));
      await over(peer);
      assert.deepEqual(peer.heard.ends, ['absent']);
      assert.deepEqual(peer.heard.faults, ['it spoke before it let the gateway in']);
      assert.deepEqual([peer.heard.messages, peer.heard.usages, peer.heard.leavings], [[], [], 0]);
      assert.equal(peer.given(), '');
    }
  });

  it('can refuse the gateway only as its first message', async (test) => {
    const away = '{"type":"away","reason":"not now"}\n';
    const outside = await meet(test, (socket) => socket.write(away));
    await over(outside);
    assert.deepEqual([outside.heard.ends, outside.heard.faults], [['absent'], ['not now']]);
    const within = await meet(test, (socket) => socket.write(here + status + away));
    await over(within);
    assert.deepEqual(within.heard.ends, ['crashed']);
    assert.deepEqual(within.heard.faults, ['it said something that no silo says']);
  });

  it('that never reads counts as congested', async (test) => {
    const peer = await meet(test, (socket) => {
      socket.pause();
      socket.write(here);
      const alive = setInterval(() => socket.write(here), 200);
      socket.on('close', () => clearInterval(alive));
    });
    const values = { text: 'x'.repeat(100_000) };
    const sample = { device: 'meter', wallMs: 0, monotonicMs: 0, values };
    assert.equal(peer.isolate.isCongested, false);
    let posted = 0;
    await until(() => {
      peer.isolate.post({ type: 'samples', samples: [sample] });
      posted += 1;
      return peer.isolate.isCongested;
    }, 'it is behind');
    assert.ok(posted > 100 && posted < 400, `${posted}`);
    assert.deepEqual(peer.heard.ends, []);
  });

  it('that sends one endless line slowly is cut off at the line limit', async (test) => {
    const peer = await meet(test, (socket) => {
      socket.write(`${here}"`);
      const drip = (): void => {
        if (!socket.destroyed) socket.write('x'.repeat(20_000), () => setImmediate(drip));
      };
      drip();
    });
    await over(peer);
    assert.deepEqual(peer.heard.ends, ['crashed']);
    assert.match(peer.heard.faults[0]!, /a line has more than 1000000 bytes/);
  });

  it('announces its stop once, and gets `stop` after the last sample', async (test) => {
    const peer = await meet(test, (socket) => {
      socket.write(`${here}${'{"type":"leaving"}\n'.repeat(3)}`);
      socket.on('data', (bytes) => {
        if (bytes.includes('"stop"')) socket.end('{"type":"stopped"}\n');
      });
    });
    await over(peer);
    assert.equal(peer.heard.leavings, 1);
    assert.deepEqual(peer.heard.ends, ['left']);
    assert.deepEqual(peer.heard.faults, []);
    assert.match(peer.given(), /^\{"type":"start".*\}\n\{"type":"stop"\}\n$/);
  });
});

describe('the path to a silo’s socket', () => {
  async function refusalAt(test: TestContext, folder: string): Promise<string | undefined> {
    const peer = await meet(test, (socket) => socket.write(here), folder);
    await until(() => peer.heard.ends.length > 0 || peer.given() !== '', 'in, or refused');
    return peer.heard.faults[0];
  }

  it('is refused if another user owns, or others may change, a folder of it', {
    skip: needsRoot,
  }, async (test) => {
    const root = folderOf(test);
    const way = join(root, 'way');
    const folder = join(way, 'silo');
    mkdirSync(folder, { recursive: true });
    assert.equal(await refusalAt(test, folder), undefined);
    rmSync(join(folder, 'silo.sock'), { force: true });

    chownSync(way, otherUid, otherUid);
    assert.match((await refusalAt(test, folder))!, /leads through user 61201's folder/);
    rmSync(join(folder, 'silo.sock'), { force: true });
    chownSync(way, 0, 0);

    chmodSync(way, 0o777);
    assert.match((await refusalAt(test, folder))!, /others may put a folder on the way/);
    rmSync(join(folder, 'silo.sock'), { force: true });
    chmodSync(way, 0o1777);
    assert.equal(await refusalAt(test, folder), undefined);
    rmSync(join(folder, 'silo.sock'), { force: true });

    // Nor through a link into such a folder.
    chmodSync(way, 0o777);
    symlinkSync(way, join(root, 'link'));
    assert.match((await refusalAt(test, join(root, 'link/silo')))!, /others may put a folder on the way/);
  });
});

describe('a gateway that can open no more files', () => {
  it('goes on, and reports the silo as absent', () => {
    const program = join(import.meta.dirname, '../../support/out-of-descriptors.ts');
    const { stdout, stderr } = spawnSync(
      '/bin/sh',
      ['-c', 'ulimit -n 64; exec "$0" "$1"', process.execPath, program],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    const [spawned, connected] = JSON.parse(stdout || 'null') ?? assert.fail(stderr);
    assert.deepEqual([spawned.ends, connected.ends], [['absent'], ['absent']]);
    assert.match(spawned.faults[0], /its process could not be started.*EMFILE/);
    assert.match(connected.faults[0], /EMFILE/);
  });
});
