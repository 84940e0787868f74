import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { OpenIsolate } from '../../../src/silo/host/open-isolate.ts';
import { SampleQueue } from '../../../src/silo/host/sample-queue.ts';
import { SiloHost } from '../../../src/silo/host/silo-host.ts';
import { connectProcess, spawnProcess } from '../../../src/silo/host/process-isolate.ts';
import { siloOptions } from '../../support/silo-options.ts';
import { until } from '../../support/until.ts';
import { SiloProcess } from '../../support/isolations.ts';

/** A user id that no user of this machine has. */
const otherUid = 61_201;
const needsRoot = process.getuid!() === 0 ? false : 'only root can act as another user';

function hostAt(test: TestContext, socket: string, open?: OpenIsolate): SiloHost {
  const spool = { ...siloOptions('sane').spool, directory: join(dirname(socket), 'state') };
  const options = siloOptions('sane', { isolation: { kind: 'process', socket }, spool });
  const startMessage = { options, devices: [], configSha256: '00'.repeat(32) };
  const host = new SiloHost(startMessage, new SampleQueue(Date.now), {
    clock: systemClock,
    logger: silentLogger,
    openIsolate: open,
  });
  test.after(() => host.stop(2000));
  host.start();
  return host;
}

const runs = (host: SiloHost): Promise<void> =>
  until(() => host.status().state === 'running' && host.status().usage !== null, 'the silo runs');

describe('a silo that is a process of its own', () => {
  it('is waited for without limit, and does not count as crashed', async (test) => {
    await using silo = SiloProcess.rogue();
    let tries = 0;
    const host = hostAt(test, silo.socket, (_startMessage, clock, _logger, listener) => {
      tries += 1;
      return connectProcess(silo.socket, { clock }, listener);
    });
    await until(() => host.status().state === 'restarting', 'no silo process');
    assert.match(host.status().reason!, /ENOENT.*silo\.sock/);
    await until(() => tries >= 4, 'several tries');
    assert.equal(host.status().restarts, 0);
    assert.equal(host.status().isolation, 'process');
    await silo.start();
    await runs(host);
    assert.equal(host.status().restarts, 0);
  });

  it('returns after a kill -9, a stop and a start', async (test) => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    const host = hostAt(test, silo.socket);
    await runs(host);
    await silo.stop('SIGKILL');
    await until(() => host.status().state === 'restarting', 'its end');
    assert.match(host.status().reason!, /crashed/);
    await silo.start();
    await runs(host);
    assert.equal(host.status().restarts, 1);
    await silo.stop('SIGTERM');
    await until(() => host.status().state === 'restarting', 'its leave');
    assert.match(host.status().reason!, /took leave unasked/);
    await silo.start();
    await runs(host);
    assert.equal(host.status().restarts, 2);
  });

  it('counts as crashed while it hangs, and is reconnected when it goes on', async (test) => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    const timeouts = { firstMessageMaxMs: 2000, silenceMaxMs: 3000 };
    const host = hostAt(test, silo.socket, (_startMessage, clock, _logger, listener) =>
      connectProcess(silo.socket, { clock, timeouts }, listener),
    );
    await runs(host);
    process.kill(silo.pid, 'SIGSTOP');
    await until(() => host.status().state === 'restarting', 'its end');
    assert.match(host.status().reason!, /crashed: hung: no sign of life for 3 s/);
    await until(
      () => host.status().reason?.startsWith('hung: no sign of life for 2 s') === true,
      'a mute process',
    );
    assert.equal(host.status().restarts, 1);
    process.kill(silo.pid, 'SIGCONT');
    await runs(host);
    assert.equal(host.status().restarts, 1);
  });

  it('accepts one gateway at a time, and the next when that one has gone', async (test) => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    const first = hostAt(test, silo.socket);
    await runs(first);
    const second = hostAt(test, silo.socket);
    await until(() => second.status().state === 'restarting', 'the second is turned away');
    assert.match(second.status().reason!, /another gateway is connected/);
    assert.equal(second.status().restarts, 0);
    assert.equal(first.status().restarts, 0);
    await first.stop(2000);
    await runs(second);
  });

  it('refuses every user but the gateway’s', { skip: needsRoot }, async (test) => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    const host = hostAt(test, silo.socket);
    await runs(host);
    const program = `
      const socket = require('node:net').connect(process.argv[1]);
      socket.on('data', (bytes) => process.stdout.write(bytes));
      socket.on('error', () => {});
      socket.on('close', () => console.log('closed'));
      socket.write('{"type":"stop"}\\n');`;
    const otherUser = spawnSync(process.execPath, ['-e', program, silo.socket], {
      uid: otherUid,
      gid: otherUid,
      encoding: 'utf8',
    });
    assert.equal(
      otherUser.stdout,
      '{"type":"away","reason":"only the gateway may speak to a silo"}\nclosed\n',
    );
    await until(() => silo.log.some(({ event }) => event === 'stranger refused'), 'a word in the log');
    const refused = silo.log.find(({ event }) => event === 'stranger refused');
    assert.equal(refused?.['user'], String(otherUid));
    assert.equal(host.status().restarts, 0);
  });

  it('is not accepted if another user answers at its socket', {
    skip: needsRoot,
  }, async (test) => {
    await using silo = SiloProcess.rogue(otherUid);
    await silo.start();
    const good = hostAt(test, silo.socket);
    await runs(good);
    await good.stop(2000);
    // The folder is now root's, and the process still the other user's.
    spawnSync('chown', ['0:0', silo.folder]);
    const host = hostAt(test, silo.socket);
    await until(() => host.status().state === 'restarting', 'it is refused');
    assert.match(
      host.status().reason!,
      new RegExp(`user ${otherUid} answers, and the folder belongs to user 0`),
    );
    spawnSync('chown', [`${otherUid}:${otherUid}`, silo.folder]);
    spawnSync('chmod', ['g+w', silo.folder]);
    await until(
      () => /others may put a socket there/.test(host.status().reason ?? ''),
      'the folder is refused',
    );
    assert.equal(host.status().usage, null, 'a message went to an unknown peer');
  });

  it('started by the gateway, has nothing of its environment and ends with it', async (test) => {
    process.env['MERESTONE_TEST_SECRET'] = 'a neighbour’s';
    test.after(() => delete process.env['MERESTONE_TEST_SECRET']);
    const folder = mkdtempSync(join(tmpdir(), 'merestone-silo-'));
    test.after(() => rmSync(folder, { recursive: true, force: true }));
    const host = hostAt(test, join(folder, 'none'), (_startMessage, clock, _logger, listener) =>
      spawnProcess({ clock }, listener),
    );
    await until(() => host.status().usage !== null, 'a measurement');
    const own = childrenOf(process.pid).filter(({ words }) =>
      words.some((word) => word.endsWith('silo/process/entry.ts')),
    );
    assert.equal(own.length, 1);
    assert.doesNotMatch(readFileSync(`/proc/${own[0]!.pid}/environ`, 'utf8'), /MERESTONE_TEST_SECRET|PATH=/);
    await host.stop(5000);
    assert.deepEqual(
      childrenOf(process.pid).filter(({ pid }) => pid === own[0]!.pid),
      [],
    );
  });
});

describe('merestone silo', () => {
  it('accepts the user that owns the given folder as its gateway', {
    skip: needsRoot,
  }, async (test) => {
    await using silo = SiloProcess.real(otherUid);
    await silo.start();
    const host = hostAt(test, silo.socket);
    // Its certificate is nowhere: it is there, and refuses to run.
    await until(() => host.status().state === 'refused', 'its answer');
    assert.match(host.status().reason!, /north\.crt/);
    assert.equal(host.status().isolation, 'process');
  });

  it('reports why it cannot make its socket', () => {
    const folder = mkdtempSync(join(tmpdir(), 'merestone-silo-'));
    const program = join(import.meta.dirname, '../../../src/cli/merestone.js');
    const { status, stderr } = spawnSync(
      process.execPath,
      [program, 'silo', '--listen', join(folder, 'none', 'silo.sock')],
      { encoding: 'utf8' },
    );
    rmSync(folder, { recursive: true });
    assert.equal(status, 74);
    assert.match(stderr, /the silo's socket cannot be made/);
  });
});

function childrenOf(parent: number): { pid: number; words: string[] }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        const isChild = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent;
        const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
        return isChild ? [{ pid: Number(name), words }] : [];
      } catch {
        return [];
      }
    });
}
