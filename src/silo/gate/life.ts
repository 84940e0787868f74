import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { ToSilo } from '../protocol.ts';
import type { Isolate } from './isolate.ts';
import { inwardBytesMax, LineChannel } from './line-channel.ts';
import { ThreadIsolate, type ThreadIsolateOptions } from './thread-isolate.ts';
import { limitsOf } from './warden.ts';

/** Long enough to store what came and take leave of the broker; systemd's TimeoutStopSec is longer. */
const leaveMs = 4500;

export interface LifeDependencies extends Pick<ThreadIsolateOptions, 'clock' | 'rogue'> {
  ended: () => void;
}

/**
 * In a silo's own process: one connection of the gateway is one life of the silo. The isolate behind it is the
 * same as in the gateway's own process, with the same limits and the same watch over them.
 */
export class Life {
  readonly #channel: LineChannel;
  readonly #clock: Clock;
  readonly #ended: () => void;
  readonly #rogue: ThreadIsolateOptions['rogue'];
  #isolate: Isolate | undefined;
  #connected = true;
  #cancelLeave: Cancel | undefined;

  /** `ended` is called once the isolate is gone and with it every file that it held. */
  constructor(socket: Socket, { clock, ended, rogue }: LifeDependencies) {
    this.#clock = clock;
    this.#ended = ended;
    this.#rogue = rogue;
    this.#channel = new LineChannel(socket, inwardBytesMax, {
      message: (message) => this.#receive(message as ToSilo),
      fault: () => {},
      ended: () => this.#disconnected(),
    });
  }

  /** Lets the silo store what it has and take leave; `ended` follows. */
  leave(): void {
    if (this.#isolate === undefined) return this.#channel.destroy();
    if (this.#cancelLeave !== undefined) return;
    this.#isolate.post({ type: 'stop' });
    this.#cancelLeave = this.#clock.after(leaveMs, () => this.#isolate?.end());
  }

  /** For the silo's audit log. */
  post(message: Extract<ToSilo, { type: 'record' }>): void {
    this.#isolate?.post(message);
  }

  #receive(message: ToSilo): void {
    if (message.type === 'start' && this.#isolate === undefined) this.#begin(message);
    this.#isolate?.post(message);
  }

  #begin({ birth }: Extract<ToSilo, { type: 'start' }>): void {
    const { name } = birth.options;
    this.#isolate = new ThreadIsolate(
      {
        name,
        limits: limitsOf(birth.options),
        clock: this.#clock,
        ...(this.#rogue && { rogue: this.#rogue }),
      },
      {
        message: (said) => this.#channel.post(said),
        usage: (usage) => this.#channel.post({ type: 'usage', usage }),
        leaving: () => {},
        fault: (reason) => this.#channel.post({ type: 'fault', reason }),
        ended: () => this.#isolateEnded(),
      },
    );
  }

  #disconnected(): void {
    this.#connected = false;
    if (this.#isolate === undefined) this.#ended();
    else this.leave();
  }

  #isolateEnded(): void {
    this.#cancelLeave?.();
    this.#isolate = undefined;
    if (this.#connected) this.#channel.finish();
    else this.#ended();
  }
}
