import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { eventually } from '../support/daemon.ts';
import { Site, siloEntry } from '../support/site.ts';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'src/cli/merestone.js');
const script = join(root, 'scripts/merestone');
const SIGUSR1 = 10;

/** Anyone who reaches V8's inspector can read the private key and run code, so it can't be opened. */
describe('V8’s inspector', () => {
  let site: Site;
  before(async () => {
    site = await Site.create(await createAuthority('Test CA'));
    await site.issueGateway('north', 'acme');
    await site.issueBackend();
  });
  after(() => site[Symbol.asyncDispose]());

  for (const [way, words] of [
    ['scripts/merestone', [script]],
    ['Node itself', [process.execPath, program]],
  ] as const) {
    it(`stays shut on SIGUSR1 in the daemon and the process of a silo, by ${way}`, async () => {
      await site.configure(`silos:\n${siloEntry('north', 'mqtts://127.0.0.1:1', '', 'process')}`);
      const { pid, output, stop } = start([...words, 'run', '--config', site.config]);
      await eventually('the silo runs', () => output().includes('silo runs'));
      const silo = childrenOf(pid).find((child) => commandOf(child).includes('src/silo/process/entry.ts'))!;
      for (const process of [pid, silo]) await assertShut(process);
      assert.equal(await stop(), 0, output());
      assert.doesNotMatch(output(), /Debugger/);
    });

    it(`stays shut on SIGUSR1 in consume, by ${way}`, async () => {
      const files = ['--ca', 'ca.crt', '--certificate', 'backend.crt', '--private-key', 'backend.key'];
      const paths = files.map((word) => (word.startsWith('--') ? word : site.path(word)));
      const broker = createServer((socket) => socket.on('error', () => {})).unref();
      site.cleanUp(() => broker.close());
      await new Promise<void>((resolve) => broker.listen(0, '127.0.0.1', resolve));
      const asked = once(broker, 'connection');
      const url = `mqtts://127.0.0.1:${(broker.address() as AddressInfo).port}`;
      const { pid, output, stop } = start([...words, 'consume', '--url', url, ...paths]);
      await asked;
      await assertShut(pid);
      // It would wait for the end of its handshake.
      await stop('SIGKILL');
      assert.doesNotMatch(output(), /Debugger/);
    });

    for (const option of ['--inspect=0', '--inspect-brk=0', '--inspect-wait=0']) {
      // Started by Node itself, the program comes too late: Node waits for a debugger first.
      if (option !== '--inspect=0' && words.length > 1) continue;
      it(`is refused in NODE_OPTIONS as ${option}, by ${way}`, () => {
        const [command, ...rest] = [...words, 'run', '--config', site.config];
        const env = { ...process.env, NODE_OPTIONS: option };
        const { status, stderr } = spawnSync(command, rest, { env, encoding: 'utf8', timeout: 60_000 });
        assert.equal(status, 64, stderr);
        assert.match(stderr, /inspector .*anyone who reaches (that|its) port can read the private key/);
      });
    }
  }

  it('is refused as an argument of Node', () => {
    const words = ['--inspect=0', program, 'run', '--config', site.config];
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 64, stderr);
    assert.match(stderr, /V8's inspector is open at ws:\/\/127\.0\.0\.1:\d+; start it without --inspect/);
  });

  it('is used only by the source that keeps it shut', () => {
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
    const naming = sources.filter(
      (path) =>
        /\.(ts|js|cjs)$/.test(path) &&
        /inspector|--inspect|_debugProcess/.test(readFileSync(join(root, 'src', path), 'utf8')),
    );
    assert.deepEqual(naming, ['base/debugger.ts']);
  });

  it('is not started by a dependency of the daemon', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { dev?: boolean }>;
    };
    const opening = /require\(['"](node:)?inspector|from ['"](node:)?inspector|_debugProcess\(/;
    const found: string[] = [];
    for (const [path, { dev }] of Object.entries(lock.packages)) {
      if (path === '' || dev === true || path.includes('node-linux-')) continue;
      for (const file of scriptsIn(join(root, path))) {
        if (opening.test(readFileSync(file, 'utf8'))) found.push(file);
      }
    }
    assert.deepEqual(found, []);
  });

  function start(words: readonly string[]): {
    pid: number;
    output: () => string;
    stop: (signal?: NodeJS.Signals) => Promise<number | null>;
  } {
    const child = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text: Buffer) => (output += text.toString()));
    const ended = once(child, 'close') as Promise<[number | null]>;
    site.cleanUp(() => child.kill('SIGKILL'));
    const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
      child.kill(signal);
      const [code] = await ended;
      return code;
    };
    return { pid: child.pid!, output: () => output, stop };
  }

  /** The signal came: no new listener exists, and the process is alive. */
  async function assertShut(pid: number): Promise<void> {
    const before = listenersOf(pid);
    process.kill(pid, SIGUSR1);
    // With --disable-sigusr1 Node blocks it; without, our handler takes it.
    if (!has(pid, 'SigBlk')) await eventually('the signal is taken', () => !has(pid, 'ShdPnd'));
    // Node would start the inspector on a thread of its own.
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual(listenersOf(pid), before);
  }
});

/** Whether SIGUSR1 is among the signals of a field of /proc/PID/status. */
function has(pid: number, field: 'SigBlk' | 'ShdPnd'): boolean {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const signals = BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(text)![1]!}`);
  return (signals & (1n << BigInt(SIGUSR1 - 1))) !== 0n;
}

/** Inodes of the TCP sockets at which the process listens. */
function listenersOf(pid: number): string[] {
  const listening = new Set(
    ['tcp', 'tcp6'].flatMap((family) =>
      readFileSync(`/proc/${pid}/net/${family}`, 'utf8')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter((fields) => fields[3] === '0A')
        .map((fields) => fields[9]!),
    ),
  );
  return readdirSync(`/proc/${pid}/fd`)
    .map((fd) => /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1])
    .filter((inode) => inode !== undefined && listening.has(inode))
    .map(String);
}

/** Empty where it was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
}

function scriptsIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.[cm]?js$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return []; // of another platform
  }
}
