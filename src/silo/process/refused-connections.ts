import type { Socket } from 'node:net';

/** Each costs a file descriptor, of which the gateway's connection and the spool need some as well. */
const openMax = 8;
/** One who has been told to go and does not, whatever he still says. */
const awayMs = 1000;

/** Whoever was not let in: told why, and gone within a second. What such a one says is not read. */
export class RefusedConnections {
  readonly #open = new Set<Socket>();

  /** The word is for a gateway of ours, which must not take it for a crash; in a crowd there is none. */
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
