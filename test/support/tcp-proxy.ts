import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A stretch of network between a client and a server on 127.0.0.1, whose faults a test chooses. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #delayMs: number;
  #frozen = false;

  private constructor(targetPort: () => number, delayMs: number) {
    this.#delayMs = delayMs;
    this.#server = createServer((client) => {
      const upstream = connect(targetPort(), '127.0.0.1');
      this.#carry(client, upstream);
      this.#carry(upstream, client);
    });
  }

  /** `delayMs`: one way. */
  static async start(targetPort: number | (() => number), delayMs = 0): Promise<TcpProxy> {
    const proxy = new TcpProxy(typeof targetPort === 'number' ? () => targetPort : targetPort, delayMs);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** Half-open: nothing passes any more, in either direction, without notice to either side. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Passes bytes again from now on; swallowed bytes are lost, and so is their connection. */
  thaw(): void {
    this.#frozen = false;
  }

  /** Resets every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #carry(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (bytes) => this.#later(() => to.write(bytes)));
    from.on('end', () => this.#later(() => to.end()));
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      this.#later(() => to.destroy());
    });
  }

  #later(pass: () => void): void {
    if (this.#frozen) return;
    if (this.#delayMs === 0) pass();
    else setTimeout(pass, this.#delayMs);
  }
}
