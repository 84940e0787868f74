import type { Socket } from 'node:net';

/** Each costs a file descriptor, of which the gateway's connection and the spool need some as well. */
const openMax = 8;
/** A refused peer that does not close the connection is cut off after this. */
const awayMs = 1000;

/** Refused connections: each peer is told why and is disconnected within a second. Its data is discarded. */
export class RefusedConnections {
  readonly #open = new Set<Socket>();

  /** The reason tells a real gateway that this is no crash; beyond `openMax` connections none is sent. */
  add(socket: Socket, reason: string): void {
    socket.on('error', () => {});
    if (this.#open.size >= openMax) {
      socket.destroy();
      return;
    }
    this.#open.add(socket);
    const deadline = setTimeout(() => socket.destroy(), awayMs).unref();
    socket.once('close', () => {
      clearTimeout(deadline);
      this.#open.delete(socket);
    });
    socket.resume();
    socket.end(`${JSON.stringify({ type: 'away', reason })}\n`);
  }

  endAll(): void {
    for (const socket of this.#open) socket.destroy();
  }
}
