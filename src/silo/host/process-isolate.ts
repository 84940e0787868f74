import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Cancel, Clock } from '../../base/clock.ts';
import { describeError } from '../../base/error.ts';
import type { FromSilo, ToSilo } from '../protocol.ts';
import { admitFromProcess, type FromProcess, reasonOf } from './process-message.ts';
import type { Isolate, IsolateEnd, IsolateListener } from './isolate.ts';
import { LineChannel, outwardBytesMax } from './line-channel.ts';
import { requireOwner } from './socket-owner.ts';
import { MessageLimit } from './message-limit.ts';
import { measureEveryMs, silenceFault } from './watchdog.ts';

const program = fileURLToPath(new URL('../process/entry.ts', import.meta.url));

/** How long a silo's process may be silent. */
export interface ProcessTimeouts {
  /** Limit for the first `here`: it comes at once, or within seconds if the process starts from a slow card. */
  firstMessageMaxMs: number;
  /** Limit between two `here`, which come every second: the thread that sends them never waits for a disk. */
  silenceMaxMs: number;
}

const timeoutsDefault: ProcessTimeouts = { firstMessageMaxMs: 20_000, silenceMaxMs: 30_000 };

interface ProcessDependencies {
  clock: Clock;
  timeouts?: ProcessTimeouts;
}

/** A silo in a process of its own, which listens on `socketPath`: a systemd unit under the silo's own user. */
export function connectProcess(
  socketPath: string,
  dependencies: ProcessDependencies,
  listener: IsolateListener,
): Isolate {
  const socket = connect(socketPath);
  const isolate = new ProcessIsolate(socket, dependencies, listener, () => socket.destroy());
  socket.once('connect', () => {
    try {
      requireOwner(socket, socketPath);
    } catch (error) {
      isolate.refuse(describeError(error));
    }
  });
  socket.once('close', () => isolate.gone());
  return isolate;
}

/** A silo in a process of its own that the gateway starts itself, under its own user. */
export function spawnProcess(dependencies: ProcessDependencies, listener: IsolateListener): Isolate {
  const { CREDENTIALS_DIRECTORY, NODE_COMPILE_CACHE } = process.env;
  const env = {
    ...(CREDENTIALS_DIRECTORY !== undefined && { CREDENTIALS_DIRECTORY }),
    ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
  };
  let child: ChildProcess;
  try {
    // Without this flag a signal could open a debugger in the process before its first line runs.
    const words = ['--disable-sigusr1', program];
    child = spawn(process.execPath, words, { env, stdio: ['ignore', 'ignore', 'inherit', 'pipe'] });
  } catch (error) {
    return absentIsolate(describeError(error), listener);
  }
  // Without free file descriptors, spawn returns a child with neither process nor pipes, against its type.
  const socket = (child.stdio as Partial<ChildProcess['stdio']> | undefined)?.[3] as Socket | undefined;
  if (socket === undefined || child.pid === undefined) {
    socket?.destroy();
    child.on('error', () => {});
    return absentIsolate('its process could not be started', listener, child);
  }
  const isolate = new ProcessIsolate(socket, dependencies, listener, () => child.kill('SIGKILL'));
  child.once('error', (error) => isolate.refuse(error.message));
  // Its files are free when the process is gone, not when the socket is.
  child.once('close', () => isolate.gone());
  return isolate;
}

/** An isolate that could not start: the listener is told once the caller has the object. */
function absentIsolate(reason: string, listener: IsolateListener, child?: ChildProcess): Isolate {
  const end = (why: string): void => {
    listener.fault(why);
    listener.ended('absent');
  };
  if (child === undefined) queueMicrotask(() => end(reason));
  else child.once('error', (error) => end(`${reason}: ${error.message}`));
  return { isCongested: false, post: () => {}, end: () => {} };
}

type State =
  /** Until the silo has said `here`, messages wait and nothing is sent to the unknown peer. */
  | { at: 'connecting'; waiting: ToSilo[] }
  | { at: 'in' }
  | { at: 'leaving' }
  /** Every message is ignored. */
  | { at: 'over' };

class ProcessIsolate implements Isolate {
  readonly #channel: LineChannel;
  readonly #clock: Clock;
  readonly #timeouts: ProcessTimeouts;
  readonly #listener: IsolateListener;
  readonly #kill: () => void;
  readonly #messageLimit: MessageLimit;
  #state: State = { at: 'connecting', waiting: [] };
  #end: IsolateEnd = 'absent';
  #lastMessageAtMs: number;
  #cancelCheck: Cancel;

  constructor(
    socket: Socket,
    { clock, timeouts = timeoutsDefault }: ProcessDependencies,
    listener: IsolateListener,
    kill: () => void,
  ) {
    this.#clock = clock;
    this.#timeouts = timeouts;
    this.#listener = listener;
    this.#kill = kill;
    this.#lastMessageAtMs = clock.monotonicMs();
    this.#messageLimit = new MessageLimit(this.#lastMessageAtMs);
    this.#channel = new LineChannel(socket, outwardBytesMax, {
      message: (message, bytes) => this.#receive(message, bytes),
      // The reason may quote text from the peer, since a parser quotes its input.
      fault: (reason) => listener.fault(reasonOf(reason)),
      ended: () => {},
    });
    this.#cancelCheck = clock.after(measureEveryMs, () => this.#check());
  }

  refuse(reason: string): void {
    this.#listener.fault(reason);
    this.end();
  }

  gone(): void {
    this.#cancelCheck();
    this.#state = { at: 'over' };
    this.#listener.ended(this.#end);
  }

  get isCongested(): boolean {
    return this.#channel.isCongested;
  }

  post(message: ToSilo): void {
    this.#messageLimit.given();
    if (this.#state.at === 'connecting') this.#state.waiting.push(message);
    else this.#channel.post(message);
  }

  end(): void {
    this.#cancelCheck();
    this.#state = { at: 'over' };
    this.#channel.destroy();
    this.#kill();
  }

  #check(): void {
    const { firstMessageMaxMs, silenceMaxMs } = this.#timeouts;
    const maxMs = this.#state.at === 'connecting' ? firstMessageMaxMs : silenceMaxMs;
    const fault = silenceFault(this.#lastMessageAtMs, this.#clock.monotonicMs(), maxMs);
    if (fault !== undefined) return this.refuse(fault);
    this.#cancelCheck = this.#clock.after(measureEveryMs, () => this.#check());
  }

  #receive(message: unknown, bytes: number): void {
    if (this.#state.at === 'over') return;
    this.#lastMessageAtMs = this.#clock.monotonicMs();
    const admitted = this.#messageLimit.heard(bytes, this.#lastMessageAtMs) ?? admitFromProcess(message);
    if (typeof admitted === 'string') return this.refuse(admitted);
    if (this.#state.at === 'connecting') this.#enter(admitted, this.#state.waiting);
    else this.#hear(admitted);
  }

  #enter(first: FromProcess | FromSilo, waiting: readonly ToSilo[]): void {
    if (first.type === 'away') return this.refuse(first.reason);
    if (first.type !== 'here') return this.refuse('it spoke before it let the gateway in');
    this.#state = { at: 'in' };
    this.#end = 'crashed';
    for (const message of waiting) this.#channel.post(message);
  }

  #hear(message: FromProcess | FromSilo): void {
    switch (message.type) {
      case 'here':
        return;
      case 'away':
        return this.refuse('it said something that no silo says');
      case 'leaving':
        return this.#takeLeave();
      case 'usage':
        return this.#listener.usage(message.usage);
      case 'fault':
        return this.#listener.fault(message.reason);
      case 'stopped':
        this.#end = 'left';
        return this.#listener.message(message);
      case 'credit':
      case 'status':
      case 'reply':
      case 'log':
        return this.#listener.message(message);
    }
  }

  /** All samples given before precede this `stop` on the same connection, so none is lost. */
  #takeLeave(): void {
    if (this.#state.at === 'leaving') return;
    this.#state = { at: 'leaving' };
    this.#listener.leaving();
    this.#channel.post({ type: 'stop' });
  }
}
