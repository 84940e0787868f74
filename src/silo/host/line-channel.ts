import type { Socket } from 'node:net';
import { createLineSplitter } from '../../base/line-splitter.ts';

/** Enough for samples of a thousand devices in one turn, or a start message with their descriptions. */
export const inwardBytesMax = 16_000_000;
/** A status, a log line or a credit. */
export const outwardBytesMax = 1_000_000;

/** The size of the largest line: a peer that keeps up is never further behind. */
const unreadBytesMax = inwardBytesMax;

export interface LineChannelListener {
  /** `bytes`: length of the message's line. */
  message(message: unknown, bytes: number): void;
  /** A line is no message, or the socket failed; `ended` follows. */
  fault(reason: string): void;
  ended(): void;
}

/** The connection between gateway and silo as a socket between two processes: JSON, one message a line, both ways. */
export class LineChannel {
  readonly #socket: Socket;
  #isOver = false;

  constructor(socket: Socket, bytesMax: number, listener: LineChannelListener) {
    this.#socket = socket;
    const split = createLineSplitter(bytesMax, (line, bytes) => {
      // The same chunk may contain more lines after the one that ended the channel.
      if (!this.#isOver) listener.message(JSON.parse(line), bytes);
    });
    socket.on('data', (bytes) => {
      if (this.#isOver) return;
      try {
        split(bytes);
      } catch (error) {
        listener.fault(error instanceof Error ? error.message : String(error));
        this.destroy();
      }
    });
    socket.on('error', (error) => {
      if (!this.#isOver) listener.fault(error.message);
    });
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

  /** After this the listener gets only `ended`. */
  destroy(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }
}
