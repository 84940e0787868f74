import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { FromSilo, ToSilo } from '../protocol.ts';
import type { FromProcess } from '../host/process-message.ts';
import type { Isolate } from '../host/isolate.ts';
import { inwardBytesMax, LineChannel } from '../host/line-channel.ts';
import { ThreadIsolate, type ThreadIsolateOptions } from '../host/thread-isolate.ts';
import { limitsOf } from '../host/watchdog.ts';

/** Long enough to store what came and take leave of the broker; systemd's TimeoutStopSec is longer. */
const leaveMs = 4500;
/** A gateway that is there says within this which sample was its last. */
const lastMessageMs = 500;
/** What was said goes into the socket at once, where anybody reads it. */
const finishMs = 1000;
/** How often the gateway hears that this process is not hung. */
const hereEveryMs = 1000;

export interface ConnectionDependencies extends Pick<ThreadIsolateOptions, 'clock' | 'rogue'> {
  /** The silo is there, and notes what it is told. */
  begun?: () => void;
  ended: () => void;
}

/**
 * In a silo's own process: one connection of the gateway is one life of the silo. The isolate behind it is the
 * same as in the gateway's own process, with the same limits and the same watch over them.
 */
export class Connection {
  readonly #channel: LineChannel;
  readonly #clock: Clock;
  readonly #dependencies: ConnectionDependencies;
  #isolate: Isolate | undefined;
  #connected = true;
  #leaving = false;
  /** The isolate has been told to stop: what comes after that reaches nobody. */
  #stopped = false;
  #cancelHere: Cancel;
  #deadlines: Cancel[] = [];

  /** `ended` is called once the isolate is gone and with it every file that it held. */
  constructor(socket: Socket, dependencies: ConnectionDependencies) {
    this.#dependencies = dependencies;
    this.#clock = dependencies.clock;
    this.#channel = new LineChannel(socket, inwardBytesMax, {
      message: (message) => this.#receive(message as ToSilo),
      fault: (reason) => this.#say({ type: 'fault', reason }),
      ended: () => this.#disconnected(),
    });
    this.#cancelHere = () => {};
    this.#here();
  }

  /** Lets the silo store what it has and take leave; `ended` follows. */
  leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#say({ type: 'leaving' });
    if (this.#isolate === undefined) {
      this.#say({ type: 'stopped' });
      return this.#finish();
    }
    if (this.#connected) this.#deadlines.push(this.#clock.after(lastMessageMs, () => this.#stop()));
    else this.#stop();
    this.#deadlines.push(this.#clock.after(leaveMs, () => this.#isolate?.end()));
  }

  /** For the silo's audit log; false where nobody is there to note it. */
  post(message: Extract<ToSilo, { type: 'record' }>): boolean {
    if (this.#isolate === undefined || this.#stopped) return false;
    this.#isolate.post(message);
    return true;
  }

  #here(): void {
    this.#say({ type: 'here' });
    this.#cancelHere = this.#clock.after(hereEveryMs, () => this.#here());
  }

  /** To a gateway that does not read there is nothing more to say. */
  #say(message: FromProcess | FromSilo): void {
    if (this.#channel.isCongested) this.#channel.destroy();
    else this.#channel.post(message);
  }

  #receive(message: ToSilo): void {
    if (message.type === 'stop') return this.#stop();
    if (message.type !== 'start') return this.#isolate?.post(message);
    if (this.#isolate !== undefined || this.#leaving) return;
    this.#begin(message);
    this.#isolate!.post(message);
    this.#dependencies.begun?.();
  }

  #begin({ startMessage }: Extract<ToSilo, { type: 'start' }>): void {
    const { name } = startMessage.options;
    const { rogue } = this.#dependencies;
    this.#isolate = new ThreadIsolate(
      { name, limits: limitsOf(startMessage.options), clock: this.#clock, ...(rogue && { rogue }) },
      {
        message: (said) => this.#say(said),
        usage: (usage) => this.#say({ type: 'usage', usage }),
        leaving: () => {},
        fault: (reason) => this.#say({ type: 'fault', reason }),
        ended: () => this.#isolateEnded(),
      },
    );
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#isolate?.post({ type: 'stop' });
  }

  #finish(): void {
    this.#channel.finish();
    this.#deadlines.push(this.#clock.after(finishMs, () => this.#channel.destroy()));
  }

  #disconnected(): void {
    this.#connected = false;
    this.#cancelHere();
    if (this.#isolate === undefined) return this.#over();
    this.leave();
    this.#stop();
  }

  #isolateEnded(): void {
    this.#isolate = undefined;
    if (this.#connected) this.#finish();
    else this.#over();
  }

  #over(): void {
    for (const cancel of this.#deadlines) cancel();
    this.#dependencies.ended();
  }
}
