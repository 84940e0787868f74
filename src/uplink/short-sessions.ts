import { stableMs } from './connection-state.ts';
import type { SessionEnd } from './mqtt-connection.ts';

/** This many in a row are no coincidence. */
const inARowMin = 3;

/** Counts sessions that the broker closes within seconds, without a word. */
export class ShortSessions {
  #inARow = 0;

  /** Whether this one, after `lastedMs`, is the last of a row that is no accident. */
  isRow({ closedByPeer, reasonCode }: SessionEnd, lastedMs: number): boolean {
    const isShort = closedByPeer && reasonCode === undefined && lastedMs < stableMs;
    this.#inARow = isShort ? this.#inARow + 1 : 0;
    return this.#inARow >= inARowMin;
  }
}
