import type { Socket } from 'node:net';
import { createLineSplitter } from '../../base/line-splitter.ts';

/** Samples of a thousand devices in one turn, or a birth with their descriptions. */
export const inwardBytesMax = 16_000_000;
/** A status, a log line or a credit. */
export const outwardBytesMax = 1_000_000;

/** As much as one line may have: a peer that reads is never so far behind. */
const unreadBytesMax = inwardBytesMax;

export interface LineChannelListener {
  /** `bytes`: of its line. */
  message(message: unknown, bytes: number): void;
  /** What came is no message, or the socket failed; the end follows. */
  fault(reason: string): void;
  ended(): void;
}

/** The wall's door as a socket between two processes: JSON, one message a line, both ways. */
export class LineChannel {
  readonly #socket: Socket;
  #isOver = false;

  constructor(socket: Socket, bytesMax: number, listener: LineChannelListener) {
    this.#socket = socket;
    const split = createLineSplitter(bytesMax, (line, bytes) => {
      // More lines may have come in one piece with the one that was the end of it.
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

  /** Nothing more is heard but the end. */
  destroy(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }
}
