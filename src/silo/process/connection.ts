import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { FromSilo, ToSilo } from '../protocol.ts';
import type { FromProcess } from '../host/process-message.ts';
import type { Isolate } from '../host/isolate.ts';
import { inwardBytesMax, LineChannel } from '../host/line-channel.ts';
import { ThreadIsolate, type ThreadIsolateOptions } from '../host/thread-isolate.ts';
import { limitsOf } from '../host/watchdog.ts';
import {
  type ConnectionAction,
  type ConnectionEvent,
  type ConnectionState,
  takesRecords,
  transition,
} from './connection-state.ts';

type Start = Extract<ToSilo, { type: 'start' }>;

/** Enough to store all samples and disconnect from the broker; systemd's TimeoutStopSec is longer. */
const leaveMs = 4500;
/** A running gateway sends its last sample and `stop` within this time. */
const lastMessageMs = 500;
/** Time for the peer to read the last messages. */
const finishMs = 1000;
/** Interval of the signs of life to the gateway. */
const hereEveryMs = 1000;

export interface ConnectionDependencies extends Pick<ThreadIsolateOptions, 'clock' | 'rogue'> {
  /** The silo runs and can note audit entries. */
  begun?: () => void;
  ended: () => void;
}

/**
 * In a silo's own process: one connection of the gateway is one run of the silo. Its isolate is the same as in the
 * gateway's process, with the same limits and the same watchdog.
 */
export class Connection {
  readonly #channel: LineChannel;
  readonly #clock: Clock;
  readonly #dependencies: ConnectionDependencies;
  #isolate: Isolate | undefined;
  #state: ConnectionState = 'waiting';
  #cancelHere: Cancel;
  #deadlines: Cancel[] = [];

  /** `ended` is called once the isolate is gone and all its files are closed. */
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

  /** Lets the silo store its samples and stop in order; `ended` follows. */
  leave(): void {
    this.#on('leave');
  }

  /** Sends an entry to the silo's audit log; false if the silo is not running. */
  post(message: Extract<ToSilo, { type: 'record' }>): boolean {
    if (!takesRecords(this.#state)) return false;
    this.#isolate!.post(message);
    return true;
  }

  #here(): void {
    this.#say({ type: 'here' });
    this.#cancelHere = this.#clock.after(hereEveryMs, () => this.#here());
  }

  /** Sends a message, unless the gateway does not read. */
  #say(message: FromProcess | FromSilo): void {
    if (this.#channel.isCongested) this.#channel.destroy();
    else this.#channel.post(message);
  }

  #receive(message: ToSilo): void {
    if (message.type === 'stop') this.#on('stop');
    else if (message.type === 'start') this.#on('start', message);
    else this.#isolate?.post(message);
  }

  /** An action may itself bring the next event: what was left to do is then of no use. */
  #on(event: ConnectionEvent, start?: Start): void {
    const [state, ...actions] = transition(this.#state, event);
    this.#state = state;
    for (const action of actions) {
      if (this.#state === state) this.#act(action, start);
    }
  }

  #act(action: ConnectionAction, start?: Start): void {
    switch (action) {
      case 'begin':
        return this.#begin(start!);
      case 'say-leaving':
        return this.#say({ type: 'leaving' });
      case 'say-stopped':
        return this.#say({ type: 'stopped' });
      case 'await-stop':
        return this.#after(lastMessageMs, () => this.#on('silence'));
      case 'stop':
        return this.#isolate!.post({ type: 'stop' });
      case 'limit':
        return this.#after(leaveMs, () => this.#isolate?.end());
      case 'finish':
        this.#channel.finish();
        return this.#after(finishMs, () => this.#channel.destroy());
      case 'report-end':
        for (const cancel of this.#deadlines) cancel();
        return this.#dependencies.ended();
    }
  }

  #after(ms: number, act: () => void): void {
    this.#deadlines.push(this.#clock.after(ms, act));
  }

  #begin(start: Start): void {
    const { options } = start.startMessage;
    const { rogue } = this.#dependencies;
    this.#isolate = new ThreadIsolate(
      { name: options.name, limits: limitsOf(options), clock: this.#clock, ...(rogue && { rogue }) },
      {
        message: (said) => this.#say(said),
        usage: (usage) => this.#say({ type: 'usage', usage }),
        leaving: () => {},
        fault: (reason) => this.#say({ type: 'fault', reason }),
        ended: () => this.#isolateEnded(),
      },
    );
    this.#isolate.post(start);
    this.#dependencies.begun?.();
  }

  #disconnected(): void {
    this.#cancelHere();
    this.#on('disconnected');
  }

  #isolateEnded(): void {
    this.#isolate = undefined;
    this.#on('isolate-ended');
  }
}
