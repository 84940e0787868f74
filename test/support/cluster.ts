import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { type Authority, createAuthority } from '../../src/simulator/certificate-authority.ts';
import { freePort } from './free-port.ts';
import { type Script, ScriptedBroker } from './scripted-broker.ts';

/** A node that accepts TCP and sends nothing, one whose certificate another CA issued, or one that answers. */
export type NodeKind = 'silent' | 'strange' | Script;

/** Nodes of `cluster.example`: on one port, each at an address of its own of this machine. */
export class Cluster implements AsyncDisposable {
  readonly port: number;
  readonly #authority: Authority;
  readonly #stack = new AsyncDisposableStack();

  private constructor(port: number, authority: Authority) {
    this.port = port;
    this.#authority = authority;
  }

  static async start(authority: Authority, kinds: Record<string, NodeKind>): Promise<Cluster> {
    const cluster = new Cluster(await freePort(), authority);
    for (const [address, kind] of Object.entries(kinds)) await cluster.add(address, kind);
    return cluster;
  }

  get url(): string {
    return `mqtts://cluster.example:${this.port}`;
  }

  /** As people read it. */
  name(address: string): string {
    return `cluster.example:${this.port} (${address})`;
  }

  async add(address: string, kind: NodeKind): Promise<void> {
    const { port } = this;
    if (typeof kind === 'function') {
      this.#stack.use(await ScriptedBroker.start(this.#authority, kind, { port, address }));
      return;
    }
    const server = kind === 'silent' ? createServer() : await strange();
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})));
    server.listen(port, address);
    this.#stack.defer(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    await once(server, 'listening');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

async function strange(): Promise<ReturnType<typeof createTlsServer>> {
  const otherUser = await createAuthority('Other CA');
  const own = await otherUser.issue({ commonName: 'broker', server: { dnsNames: ['cluster.example'] } });
  return createTlsServer({ cert: own.certificatePem, key: own.privateKeyPem });
}
