import type { Clock } from '../../base/clock.ts';
import { LogLimit } from './log-limit.ts';
import type { FromSilo } from '../protocol.ts';

/**
 * Sends the isolate's messages to the gateway in as few as possible, since they are limited outside
 * (host/message-limit.ts): one credit for all that one message of samples settled, and limited log lines.
 */
export class MessageCoalescer {
  readonly #send: (message: FromSilo) => void;
  readonly #clock: Clock;
  readonly #logLimit: LogLimit;
  #credit = 0;

  constructor(send: (message: FromSilo) => void, clock: Clock) {
    this.#send = send;
    this.#clock = clock;
    this.#logLimit = new LogLimit(clock.monotonicMs());
  }

  post(message: FromSilo): void {
    if (message.type === 'credit') {
      if (this.#credit === 0) queueMicrotask(() => this.#settle());
      this.#credit += message.readings;
      return;
    }
    this.#settle();
    if (message.type !== 'log') return this.#send(message);
    for (const line of this.#logLimit.pass(message, this.#clock.monotonicMs())) this.#send(line);
  }

  #settle(): void {
    if (this.#credit === 0) return;
    const readings = this.#credit;
    this.#credit = 0;
    this.#send({ type: 'credit', readings });
  }
}
