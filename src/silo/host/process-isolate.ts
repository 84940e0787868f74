import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Cancel, Clock } from '../../base/clock.ts';
import { describeError } from '../../base/error.ts';
import type { FromSilo, ToSilo } from '../protocol.ts';
import { admitFromDoor, type FromDoor, reasonOf } from './process-message.ts';
import type { Isolate, IsolateEnd, IsolateListener } from './isolate.ts';
import { LineChannel, outwardBytesMax } from './line-channel.ts';
import { requireOwner } from './socket-owner.ts';
import { TalkRation } from './message-limit.ts';
import { lookEveryMs, silenceFault } from './watchdog.ts';

const program = fileURLToPath(new URL('../process/entry.ts', import.meta.url));

/** How long a silo's process may be silent. */
export interface DoorPatience {
  /** It says `here` at once; one that is only just started from a slow card, within some seconds. */
  firstWordMaxMs: number;
  /** It says `here` every second: its door does nothing but pass messages on, and never waits for a disk. */
  silenceMaxMs: number;
}

const patienceDefault: DoorPatience = { firstWordMaxMs: 20_000, silenceMaxMs: 30_000 };

interface ProcessDependencies {
  clock: Clock;
  patience?: DoorPatience;
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
    // Or a signal would open a debugger in it before its first line runs.
    const words = ['--disable-sigusr1', program];
    child = spawn(process.execPath, words, { env, stdio: ['ignore', 'ignore', 'inherit', 'pipe'] });
  } catch (error) {
    return stillborn(describeError(error), listener);
  }
  // Out of file descriptors, a child has neither a process nor any pipes, whatever its type says.
  const socket = (child.stdio as Partial<ChildProcess['stdio']> | undefined)?.[3] as Socket | undefined;
  if (socket === undefined || child.pid === undefined) {
    socket?.destroy();
    child.on('error', () => {});
    return stillborn('its process could not be started', listener, child);
  }
  const isolate = new ProcessIsolate(socket, dependencies, listener, () => child.kill('SIGKILL'));
  child.once('error', (error) => isolate.refuse(error.message));
  // Its files are free when the process is gone, not when the socket is.
  child.once('close', () => isolate.gone());
  return isolate;
}

/** One that never was: the listener hears of it when whoever asked for it has it in hand. */
function stillborn(reason: string, listener: IsolateListener, child?: ChildProcess): Isolate {
  const end = (why: string): void => {
    listener.fault(why);
    listener.ended('absent');
  };
  if (child === undefined) queueMicrotask(() => end(reason));
  else child.once('error', (error) => end(`${reason}: ${error.message}`));
  return { isCongested: false, post: () => {}, end: () => {} };
}

type Stage =
  /** Nothing of ours goes to whoever is there before the door has let us in. */
  | { at: 'knocking'; waiting: ToSilo[] }
  | { at: 'in' }
  | { at: 'leaving' }
  /** Nothing that is said is heard any more. */
  | { at: 'over' };

class ProcessIsolate implements Isolate {
  readonly #channel: LineChannel;
  readonly #clock: Clock;
  readonly #patience: DoorPatience;
  readonly #listener: IsolateListener;
  readonly #kill: () => void;
  readonly #ration: TalkRation;
  #stage: Stage = { at: 'knocking', waiting: [] };
  #end: IsolateEnd = 'absent';
  #heardAtMs: number;
  #cancelLook: Cancel;

  constructor(
    socket: Socket,
    { clock, patience = patienceDefault }: ProcessDependencies,
    listener: IsolateListener,
    kill: () => void,
  ) {
    this.#clock = clock;
    this.#patience = patience;
    this.#listener = listener;
    this.#kill = kill;
    this.#heardAtMs = clock.monotonicMs();
    this.#ration = new TalkRation(this.#heardAtMs);
    this.#channel = new LineChannel(socket, outwardBytesMax, {
      message: (message, bytes) => this.#receive(message, bytes),
      // A parser quotes what it could not parse.
      fault: (reason) => listener.fault(reasonOf(reason)),
      ended: () => {},
    });
    this.#cancelLook = clock.after(lookEveryMs, () => this.#look());
  }

  refuse(reason: string): void {
    this.#listener.fault(reason);
    this.end();
  }

  gone(): void {
    this.#cancelLook();
    this.#stage = { at: 'over' };
    this.#listener.ended(this.#end);
  }

  get isCongested(): boolean {
    return this.#channel.isCongested;
  }

  post(message: ToSilo): void {
    this.#ration.given();
    if (this.#stage.at === 'knocking') this.#stage.waiting.push(message);
    else this.#channel.post(message);
  }

  end(): void {
    this.#cancelLook();
    this.#stage = { at: 'over' };
    this.#channel.destroy();
    this.#kill();
  }

  #look(): void {
    const { firstWordMaxMs, silenceMaxMs } = this.#patience;
    const maxMs = this.#stage.at === 'knocking' ? firstWordMaxMs : silenceMaxMs;
    const fault = silenceFault(this.#heardAtMs, this.#clock.monotonicMs(), maxMs);
    if (fault !== undefined) return this.refuse(fault);
    this.#cancelLook = this.#clock.after(lookEveryMs, () => this.#look());
  }

  #receive(message: unknown, bytes: number): void {
    if (this.#stage.at === 'over') return;
    this.#heardAtMs = this.#clock.monotonicMs();
    const admitted = this.#ration.heard(bytes, this.#heardAtMs) ?? admitFromDoor(message);
    if (typeof admitted === 'string') return this.refuse(admitted);
    if (this.#stage.at === 'knocking') this.#enter(admitted, this.#stage.waiting);
    else this.#hear(admitted);
  }

  #enter(first: FromDoor | FromSilo, waiting: readonly ToSilo[]): void {
    if (first.type === 'away') return this.refuse(first.reason);
    if (first.type !== 'here') return this.refuse('it spoke before it let the gateway in');
    this.#stage = { at: 'in' };
    this.#end = 'crashed';
    for (const message of waiting) this.#channel.post(message);
  }

  #hear(message: FromDoor | FromSilo): void {
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

  /** What was given before stands in the same line before this `stop`: so nothing of it is lost. */
  #takeLeave(): void {
    if (this.#stage.at === 'leaving') return;
    this.#stage = { at: 'leaving' };
    this.#listener.leaving();
    this.#channel.post({ type: 'stop' });
  }
}
