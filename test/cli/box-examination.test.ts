import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { runCommand } from '../support/daemon.ts';
import { makeDisk, whyNoDisk } from '../support/mount.ts';
import { createAuthority } from '../support/pki.ts';
import { Site, siloEntry } from '../support/site.ts';

const needsRoot = process.getuid!() === 0 ? false : 'only root can change its user';
const otherUid = 61_202;

describe('check of the box that the daemon is to run on', () => {
  let site: Site;
  let server: Server | undefined;
  before(async () => {
    site = await Site.create(await createAuthority('Test CA'));
    await site.issueGateway('north', 'acme');
  });
  afterEach(() => {
    server?.close();
    server = undefined;
    rmSync(site.path('state'), { recursive: true, force: true });
    rmSync(site.controlSocket, { force: true });
  });
  after(() => site[Symbol.asyncDispose]());

  /** The warnings of `check` with the key's place; it finds no fault in the file. */
  async function warnings(http?: string): Promise<string> {
    const head = http === undefined ? '' : `http: { listen: '${http}' }\n`;
    await site.configure(`${head}silos:\n${siloEntry('north', 'mqtts://127.0.0.1:8883')}`);
    const { exitCode, stdout, stderr } = await runCommand(['check', '--json', '--config', site.config]);
    assert.equal(exitCode, 0, stderr);
    const { warnings: told } = JSON.parse(stdout) as { warnings: string[] };
    return told
      .filter((each) => !each.includes('has no devices'))
      .join('\n')
      .replaceAll(site.folder, '');
  }

  async function listen(host: string): Promise<number> {
    server = createServer();
    server.listen(0, host);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  it('reports nothing if every port is free and every folder writable', async () => {
    assert.equal(await warnings('127.0.0.1:0'), '');
    assert.equal(await warnings('./http.sock'), '');
    assert.equal(await warnings(), '');
  });

  for (const [held, asked] of [
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '0.0.0.0'],
    ['::', '127.0.0.1'],
    ['127.0.0.1', 'localhost'],
  ] as const) {
    it(`names a port that is taken: ${held} holds it, and ${asked} is wanted`, async () => {
      const port = await listen(held);
      assert.match(
        await warnings(`${asked}:${port}`),
        new RegExp(`http\\.listen: another program listens at ${asked}:${port}; end it, or choose another`),
      );
    });
  }

  it('does not report a port that is taken at another address', async () => {
    const port = await listen('127.0.0.2');
    assert.equal(await warnings(`127.0.0.1:${port}`), '');
  });

  it('names an address that is not of this box', async () => {
    assert.match(
      await warnings('192.0.2.1:9464'),
      /http\.listen: this box has no address 192\.0\.2\.1 now; correct/,
    );
  });

  it('names a socket’s path that something else has, or another program listens at', async () => {
    writeFileSync(site.path('http.sock'), '');
    assert.match(
      await warnings('./http.sock'),
      /http\.listen: \/http\.sock is something else than a socket; move/,
    );
    rmSync(site.path('http.sock'));
    server = createServer().listen(site.path('http.sock'));
    await once(server, 'listening');
    assert.match(await warnings('./http.sock'), /http\.listen: another program listens at \/http\.sock;/);
    writeFileSync(site.controlSocket, '');
    assert.match(await warnings(), /control\.socket: \/control\.sock is something else than a socket;/);
  });

  it('does not report a port of its own daemon', async () => {
    const port = await listen('127.0.0.1');
    const control = createServer().listen(site.controlSocket);
    await once(control, 'listening');
    assert.equal(await warnings(`127.0.0.1:${port}`), '');
    control.close();
  });

  it('names a stateDir that is no folder, and one below which none can be made, once', async () => {
    writeFileSync(site.path('state'), '');
    assert.equal(await warnings(), 'stateDir: /state is no folder; move it away, or name another folder');
    rmSync(site.path('state'));
    mkdirSync(site.path('state'));
    writeFileSync(site.path('state/silos'), '');
    assert.match(
      await warnings(),
      /^silo 'north': stateDir: \/state\/silos\/north cannot be made: \/state\/silos is no folder; [^\n]*$/,
    );
  });

  it('names a stateDir on a disk that is read-only', { skip: whyNoDisk('tmpfs') ?? false }, async (test) => {
    const disk = makeDisk(test, 'tmpfs');
    disk.setReadOnly(true);
    await site.configure(`silos:\n${siloEntry('north', 'mqtts://127.0.0.1:8883')}`);
    await site.moveState(join(disk.path, 'state'));
    const { stderr } = await runCommand(['check', '--config', site.config]);
    assert.match(stderr, /stateDir: \S+\/state cannot be made: \S+ is on a disk that is read-only; mount it/);
  });

  it('names a stateDir that its user may not write', { skip: needsRoot }, async () => {
    await warnings();
    chmodSync(site.folder, 0o755);
    mkdirSync(site.path('state'), { mode: 0o755 });
    const merestone = join(import.meta.dirname, '../../src/cli/merestone.js');
    const { stderr } = spawnSync(process.execPath, [merestone, 'check', '--config', site.config], {
      encoding: 'utf8',
      uid: otherUid,
      gid: otherUid,
      timeout: 60_000,
    });
    assert.match(stderr, /stateDir: \S+\/state may not be written by this user \(EACCES\); chown it to/);
    chmodSync(site.folder, 0o700);
  });
});
