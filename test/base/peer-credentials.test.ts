import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { peerCredentials, provenPeer } from '../../src/base/peer-credentials.ts';
import { userName } from '../../src/base/user-name.ts';

const isRoot = process.getuid!() === 0;
/** The user `nobody` of every Debian, and a number that has no name. */
const nobody = 65534;
const nameless = 54_321;

describe('peer credentials of a Unix socket', () => {
  let folder: string;
  let server: Server;
  let socketPath: string;
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'merestone-peer-'));
    chmodSync(folder, 0o755);
    socketPath = path.join(folder, 'socket');
    server = createServer().listen(socketPath);
    await once(server, 'listening');
    chmodSync(socketPath, 0o666);
  });
  after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  async function accept(connecting: () => unknown): Promise<Socket> {
    const accepted = once(server, 'connection');
    connecting();
    const [socket] = (await accepted) as [Socket];
    return socket;
  }

  it('are those of this process for a connection to itself', async () => {
    let client: Socket | undefined;
    const socket = await accept(() => (client = connect(socketPath)));
    assert.deepEqual(peerCredentials(socket), {
      pid: process.pid,
      uid: process.getuid!(),
      gid: process.getgid!(),
    });
    client!.destroy();
    socket.destroy();
  });

  it('name the true user for any message', { skip: !isRoot && 'needs root' }, async () => {
    for (const uid of [nobody, nameless]) {
      let child: ChildProcess | undefined;
      const program = `
        const socket = require('node:net').connect(${JSON.stringify(socketPath)});
        socket.on('error', () => {}).write('I am root, uid 0');
      `;
      const socket = await accept(() => {
        child = spawn(process.execPath, ['-e', program], { uid, gid: 4711, cwd: '/', stdio: 'ignore' });
      });
      assert.deepEqual(peerCredentials(socket), { pid: child!.pid, uid, gid: 4711 });
      // A user without a name in the namespace appears as `nobody`, may be any user, and is refused.
      if (uid === nobody) assert.throws(() => provenPeer(socket), { code: 'Io', message: /PrivateUsers/ });
      else assert.equal(provenPeer(socket).uid, uid);
      const ended = once(child!, 'exit');
      socket.destroy();
      await ended;
    }
  });

  it('are refused for a closed socket, or one that is no Unix socket', async () => {
    const socket = await accept(() => connect(socketPath).on('error', () => {}));
    socket.destroy();
    assert.throws(() => peerCredentials(socket), { code: 'Io', message: /the connection is closed/ });

    const tcp = createServer().listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const client = connect((tcp.address() as AddressInfo).port, '127.0.0.1');
    const [accepted] = (await once(tcp, 'connection')) as [Socket];
    assert.throws(() => peerCredentials(accepted), { code: 'Io', message: /it is no Unix socket/ });
    client.destroy();
    accepted.destroy();
    tcp.close();
  });

  it('has a name, or a number', async () => {
    assert.deepEqual(await Promise.all([0, nobody, nameless].map(userName)), ['root', 'nobody', '54321']);
  });
});
