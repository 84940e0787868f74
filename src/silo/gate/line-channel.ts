import type { Socket } from 'node:net';
import { createLineSplitter } from '../../base/line-splitter.ts';

/** Samples of a thousand devices in one turn, or a birth with their descriptions. */
export const inwardBytesMax = 16_000_000;
/** A status, a log line or a credit. */
export const outwardBytesMax = 1_000_000;

/** As much as one line may have: a peer that reads is never so far behind. */
const unreadBytesMax = inwardBytesMax;

export interface LineChannelListener {
  message(message: unknown): void;
  /** What came is no message, or the socket failed; the end follows. */
  fault(reason: string): void;
  ended(): void;
}

/** The wall's door as a socket between two processes: JSON, one message a line, both ways. */
export class LineChannel {
  readonly #socket: Socket;

  constructor(socket: Socket, bytesMax: number, listener: LineChannelListener) {
    this.#socket = socket;
    const split = createLineSplitter(bytesMax, (line) => listener.message(JSON.parse(line)));
    socket.on('data', (bytes) => {
      try {
        split(bytes);
      } catch (error) {
        listener.fault(error instanceof Error ? error.message : String(error));
        socket.destroy();
      }
    });
    socket.on('error', (error) => listener.fault(error.message));
    socket.on('close', () => listener.ended());
  }

  get isCongested(): boolean {
    return this.#socket.writableLength > unreadBytesMax;
  }

  post(message: object): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  /** Sends what waits, then closes. */
  finish(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
