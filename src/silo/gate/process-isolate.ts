import { spawn } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeError, MerestoneError } from '../../base/error.ts';
import { provenPeer } from '../../base/peer-credentials.ts';
import type { SiloUsage } from '../../reading/status.ts';
import type { ToSilo } from '../protocol.ts';
import { admit } from './admission.ts';
import type { Isolate, IsolateEnd, IsolateListener } from './isolate.ts';
import { LineChannel, outwardBytesMax } from './line-channel.ts';

/** A sentence; what is longer came from somebody who wants to fill a log. */
const reasonLengthMax = 500;

const program = fileURLToPath(new URL('../process.ts', import.meta.url));

/** A silo in a process of its own, which listens on `socketPath`: a systemd unit under the silo's own user. */
export function connectProcess(socketPath: string, listener: IsolateListener): Isolate {
  const socket = connect(socketPath);
  const isolate = new ProcessIsolate(socket, listener, () => socket.destroy());
  socket.once('connect', () => {
    try {
      requireOwner(socket, socketPath);
      isolate.arrived();
    } catch (error) {
      isolate.refuse(describeError(error));
    }
  });
  socket.once('close', () => isolate.gone());
  return isolate;
}

/** A silo in a process of its own that the gateway starts itself, under its own user. */
export function spawnProcess(listener: IsolateListener): Isolate {
  const { CREDENTIALS_DIRECTORY, NODE_COMPILE_CACHE } = process.env;
  const env = {
    ...(CREDENTIALS_DIRECTORY !== undefined && { CREDENTIALS_DIRECTORY }),
    ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
  };
  const child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'ignore', 'inherit', 'pipe'] });
  const isolate = new ProcessIsolate(child.stdio[3] as Socket, listener, () => child.kill('SIGKILL'));
  child.once('spawn', () => isolate.arrived());
  child.once('error', (error) => isolate.refuse(error.message));
  // Its files are free when the process is gone, not when the socket is.
  child.once('close', () => isolate.gone());
  return isolate;
}

class ProcessIsolate implements Isolate {
  readonly #channel: LineChannel;
  readonly #listener: IsolateListener;
  readonly #kill: () => void;
  #waiting: ToSilo[] | undefined = [];
  #end: IsolateEnd = 'absent';

  constructor(socket: Socket, listener: IsolateListener, kill: () => void) {
    this.#listener = listener;
    this.#kill = kill;
    this.#channel = new LineChannel(socket, outwardBytesMax, {
      message: (message) => this.#receive(message),
      fault: (reason) => listener.fault(reason),
      ended: () => {},
    });
  }

  /** Not a byte goes to whoever is there before it is known who it is. */
  arrived(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    this.#end = 'crashed';
    for (const message of waiting) this.#channel.post(message);
  }

  refuse(reason: string): void {
    this.#listener.fault(reason);
    this.end();
  }

  gone(): void {
    this.#listener.ended(this.#end);
  }

  get isCongested(): boolean {
    return this.#channel.isCongested;
  }

  post(message: ToSilo): void {
    if (this.#waiting === undefined) this.#channel.post(message);
    else this.#waiting.push(message);
  }

  end(): void {
    this.#channel.destroy();
    this.#kill();
  }

  #receive(message: unknown): void {
    const { type, usage, reason } = (message ?? {}) as Record<string, unknown>;
    if (type === 'usage') return this.#listener.usage(usageOf(usage));
    if (type === 'fault' || type === 'away') {
      if (type === 'away') this.#end = 'absent';
      return this.#listener.fault(String(reason).slice(0, reasonLengthMax));
    }
    const admitted = admit(message);
    if (typeof admitted === 'string') return this.refuse(admitted);
    if (admitted.type === 'stopped') this.#end = 'left';
    this.#listener.message(admitted);
  }
}

/**
 * Who owns the folder of a socket decides what stands in it: that user, as the kernel says, must be the one who
 * answers there (SO_PEERCRED, unix(7)), and nobody else may be able to put a socket of his own in its place.
 */
function requireOwner(socket: Socket, socketPath: string): void {
  const folder = dirname(socketPath);
  const { uid: owner, mode } = lstatSync(folder);
  const { uid } = provenPeer(socket);
  if (uid !== owner) {
    throw new MerestoneError('SiloStranger', `user ${uid} answers, and the folder belongs to user ${owner}`, {
      subject: socketPath,
      hint: 'see who runs there, and start the silo by its own unit',
    });
  }
  if ((mode & 0o022) !== 0) {
    throw new MerestoneError('SiloStranger', 'others may put a socket there', {
      subject: folder,
      hint: 'take the right to write from group and others (chmod go-w)',
    });
  }
}

function usageOf(from: unknown): SiloUsage {
  const { cpuShare, memoryBytes, memoryBytesMax } = (from ?? {}) as Record<string, unknown>;
  return {
    cpuShare: Number(cpuShare),
    memoryBytes: Number(memoryBytes),
    memoryBytesMax: Number(memoryBytesMax),
  };
}
