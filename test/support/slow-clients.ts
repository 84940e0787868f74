import { connect, type NetConnectOpts, type Socket } from 'node:net';

/** How a client is slow: what it sends at once, what it drips then, and whether it reads what comes. */
export interface Slowness {
  sends: string;
  drips?: string;
  reads?: boolean;
}

const dripMs = 100;
/** Disconnected clients come back, but not in a busy loop of this test's own process. */
const returnMs = 500;

/** Clients that stay slow: a disconnected one comes back. */
export class SlowClients {
  readonly #target: NetConnectOpts;
  readonly #slowness: Slowness;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #drip: NodeJS.Timeout;
  /** How often one of them was connected. */
  connected = 0;

  constructor(target: NetConnectOpts, count: number, slowness: Slowness) {
    this.#target = target;
    this.#slowness = slowness;
    for (let index = 0; index < count; index++) this.#open();
    const { drips } = slowness;
    this.#drip = setInterval(() => {
      if (drips !== undefined) for (const socket of this.#sockets) socket.write(drips);
    }, dripMs);
  }

  end(): void {
    clearInterval(this.#drip);
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.removeAllListeners('close').destroy();
    this.#sockets.clear();
  }

  #open(): void {
    const { sends, reads = true } = this.#slowness;
    const socket = connect(this.#target);
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('connect', () => {
      this.connected += 1;
      socket.write(sends);
    });
    if (reads) socket.resume();
    socket.once('close', () => {
      this.#sockets.delete(socket);
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#open();
      }, returnMs);
      this.#timers.add(timer);
    });
  }
}
