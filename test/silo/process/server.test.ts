import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { createLogger, type LogRecord } from '../../../src/base/logger.ts';
import { connectProcess } from '../../../src/silo/host/process-isolate.ts';
import { RefusedPeerLog } from '../../../src/silo/process/refused-peer-log.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { HeardIsolate } from '../../support/heard-isolate.ts';
import { siloOptions, siloSamples } from '../../support/silo-options.ts';
import { until } from '../../support/until.ts';
import { SiloProcess } from '../../support/isolations.ts';

/** A user id that no user of this machine has: a server for it refuses this test's connections. */
const otherUid = 61_201;
const needsRoot = process.getuid!() === 0 ? false : 'only root can act as another user';
const startMessage = { options: siloOptions('mute'), devices: [], configSha256: '00'.repeat(32) };

interface PeerSocket {
  socket: Socket;
  heard: string;
  open: boolean;
}

/** One who stays as long as he can, trickling: his end stays open when the other one is shut. */
function connectPeer(test: TestContext, path: string): PeerSocket {
  const socket = connect({ path, allowHalfOpen: true });
  const one: PeerSocket = { socket, heard: '', open: true };
  const trickle = setInterval(() => socket.writable && socket.write('x'), 50);
  socket.on('data', (bytes) => (one.heard += bytes.toString()));
  socket.on('error', () => {});
  socket.on('close', () => {
    clearInterval(trickle);
    one.open = false;
  });
  test.after(() => socket.destroy());
  return one;
}

const refused = (silo: SiloProcess): number =>
  silo.log.filter(({ event }) => event === 'stranger refused').length;

describe('refused connections to a silo', () => {
  it('are closed soon, and few are open at once', async (test) => {
    await using silo = SiloProcess.rogue(undefined, otherUid);
    await silo.start();
    const crowd = Array.from({ length: 100 }, () => connectPeer(test, silo.socket));
    await until(() => crowd.every(({ open }) => !open), 'all gone');
    const told = crowd.filter(({ heard }) => heard.includes('"away"'));
    assert.ok(told.length >= 1 && told.length <= 8, `${told.length} were told why`);
  });

  it('cost only a few log lines', async (test) => {
    await using silo = SiloProcess.rogue(undefined, otherUid);
    await silo.start();
    for (let round = 0; round < 3; round += 1) {
      const crowd = Array.from({ length: 20 }, () => connectPeer(test, silo.socket));
      await until(() => crowd.every(({ open }) => !open), 'all gone');
    }
    assert.equal(refused(silo), 5);
    await silo.stop('SIGTERM');
    const rest = silo.log.filter(({ event }) => event === 'strangers refused');
    assert.deepEqual(
      rest.map(({ users, times }) => [users, times]),
      [[String(process.getuid!()), 55]],
    );
  });

  it('never keep the gateway out, even as a reconnecting crowd', {
    skip: needsRoot,
  }, async (test) => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    const program = `const open = () => require('node:net').connect(process.argv[1]).on('error', () => {}).resume()
      .on('close', () => setTimeout(open, 100)); for (let count = 0; count < 1000; count++) open();`;
    const crowd = spawn(process.execPath, ['-e', program, silo.socket], {
      uid: otherUid,
      gid: otherUid,
    });
    test.after(() => crowd.kill('SIGKILL'));
    await until(() => refused(silo) > 0, 'they are there');
    // As the supervisor does it: while too many connections wait, it connects again.
    const heard = new HeardIsolate();
    await until(async () => {
      const isolate = connectProcess(silo.socket, { clock: systemClock }, heard);
      test.after(() => isolate.end());
      const ends = heard.ends.length;
      isolate.post({ type: 'start', startMessage });
      const isIn = (): boolean => silo.log.some(({ event }) => event === 'gateway connected');
      await until(() => isIn() || heard.ends.length > ends, 'in or away');
      return isIn();
    }, 'a life');
  });

  it('do not delay its stop', async (test) => {
    await using silo = SiloProcess.rogue(undefined, otherUid);
    await silo.start();
    const otherUser = connectPeer(test, silo.socket);
    await until(() => otherUser.heard !== '', 'it is turned away');
    await silo.stop('SIGTERM');
    await until(() => !otherUser.open, 'it is gone');
  });

  it('are in the audit log even if no gateway was connected', {
    skip: needsRoot,
  }, async (test) => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    const program = `require('node:net').connect(process.argv[1]).on('error', () => {}).resume();`;
    spawnSync(process.execPath, ['-e', program, silo.socket], { uid: otherUid, gid: otherUid });
    await until(() => refused(silo) === 1, 'a word in the log');
    const heard = new HeardIsolate();
    const isolate = connectProcess(silo.socket, { clock: systemClock }, heard);
    test.after(() => isolate.end());
    isolate.post({ type: 'start', startMessage });
    const recorded = (): object | undefined =>
      heard.messages.find((message) => message.type === 'log' && message.event === 'recorded');
    await until(() => recorded() !== undefined, 'its note');
    assert.deepEqual(recorded(), {
      type: 'log',
      level: 'info',
      event: 'recorded',
      fields: {
        kind: 'refused-request',
        details: JSON.stringify({
          by: String(otherUid),
          method: 'connect',
          reason: 'only the gateway may speak to a silo',
        }),
      },
    });
  });

  it('in an endless loop are reported once a minute, and kept within a bound', async () => {
    const clock = new FakeClock();
    const log: LogRecord[] = [];
    const noted: { times?: number }[] = [];
    let isThere = false;
    const notes = new RefusedPeerLog(
      { clock, logger: createLogger((record) => log.push(record), 'debug') },
      'no',
      (refusal) => isThere && noted.push(refusal) > 0,
    );
    const minutes = 120;
    for (let minute = 0; minute < minutes; minute += 1) {
      const lines = log.length;
      for (let count = 0; count < 100; count += 1) await notes.refused(otherUid, 1);
      clock.advance(60_000);
      await until(() => log.length > lines && log.at(-1)!.event === 'strangers refused', 'a line');
    }
    // Five at once, then one alone and one for the rest, a minute.
    assert.ok(log.length <= 5 + 2 * minutes, `${log.length} lines`);
    isThere = true;
    notes.begun();
    assert.equal(noted.length, 60);
    const told = noted.reduce((sum, { times = 1 }) => sum + times, 0);
    assert.equal(told, 100 * minutes);
  });
});

describe('a silo’s socket', () => {
  it('is not taken from a running silo', async () => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    const merestone = join(import.meta.dirname, '../../../src/cli/merestone.js');
    const second = spawnSync(process.execPath, [merestone, 'silo', '--listen', silo.socket], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(second.status, 69);
    assert.match(second.stderr, /another silo answers here/);
    const heard = new HeardIsolate();
    const isolate = connectProcess(silo.socket, { clock: systemClock }, heard);
    isolate.post({ type: 'start', startMessage });
    isolate.post({ type: 'stop' });
    await until(() => heard.ends.length > 0, 'the first still serves');
    assert.deepEqual(heard.ends, ['left']);
  });

  it('tells the gateway what was wrong with its message before it closes', async () => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    let heard = '';
    const socket = connect(silo.socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => (heard += bytes.toString()));
    socket.write('{no message\n{"type":"stop"}\n');
    await until(() => socket.destroyed, 'the end');
    const [here, fault] = heard.split('\n').map((line) => line && JSON.parse(line));
    assert.deepEqual(here, { type: 'here' });
    assert.equal(fault.type, 'fault');
    assert.match(fault.reason, /JSON/);
  });

  it('loses no sample given to a silo that is told to stop', async (test) => {
    await using silo = SiloProcess.rogue();
    await silo.start();
    const heard = new HeardIsolate();
    const isolate = connectProcess(silo.socket, { clock: systemClock }, heard);
    test.after(() => isolate.end());
    isolate.post({ type: 'start', startMessage });
    await until(() => silo.log.some(({ event }) => event === 'gateway connected'), 'a life');
    let given = 0;
    const stopped = new Promise<void>((resolve) => setTimeout(() => void silo.stop().then(resolve), 200));
    // As a gateway does: it gives until it hears of the leave, and keeps what comes after.
    await until(() => {
      if (heard.leavings > 0) return true;
      isolate.post({ type: 'samples', samples: siloSamples(100, { wallMs: 0, monotonicMs: 0 }) });
      given += 100;
      return false;
    }, 'its leave');
    await until(() => heard.ends.length > 0, 'its end');
    await stopped;
    assert.equal(heard.leavings, 1);
    assert.deepEqual(heard.ends, ['left']);
    const taken = heard.messages.find((message) => message.type === 'log' && message.event === 'taken');
    assert.deepEqual(taken, { type: 'log', level: 'info', event: 'taken', fields: { samples: given } });
    assert.ok(given > 100);
  });
});
