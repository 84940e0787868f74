import { close, constants, open, writeSync } from 'node:fs';
import { rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { promisify } from 'node:util';
import type Koffi from 'koffi';
import { MerestoneError } from '../base/error.ts';

/** Both ends of a simulated serial cable. What goes in at one comes out at the other. */
export interface PtyPair {
  /** Path for the program under test. */
  gatewayEnd: string;
  /** Path for the simulated device. */
  deviceEnd: string;
  /** Hangs up both ends and removes the paths, as an unplugged adapter does. */
  close(): Promise<void>;
}

/** One pseudo-terminal. Only this process has its master: it ends with the process in every case. */
interface Pty {
  path: string;
  /** Bytes written to the path. */
  output: ReadStream;
  /** Bytes to read from the path. */
  input: Writable;
  close(): Promise<void>;
}

/** O_CLOEXEC of asm-generic/fcntl.h; the same on x64 and arm64. */
const O_CLOEXEC = 0o2_000_000;
/** struct termios is 60 bytes in glibc and in musl; a little room costs nothing. */
const termiosBytes = 256;
const pathBytes = 64;
const TCSANOW = 0;
const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
/** The kernel keeps 4 kB for a terminal that is read slowly. */
const fullRetryMs = 5;
const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);

/**
 * Joins two pseudo-terminals, as `DIRECTORY/NAME` and `DIRECTORY/NAME-device`.
 * Throws PortUnavailable where the system gives none, or the paths can't be made.
 */
export async function openPtyPair(directory: string, name: string): Promise<PtyPair> {
  const gatewayEnd = join(directory, name);
  const deviceEnd = join(directory, `${name}-device`);
  await using parts = new AsyncDisposableStack();
  try {
    const ends: Pty[] = [];
    for (const path of [gatewayEnd, deviceEnd]) {
      const pty = await openPty();
      parts.defer(() => pty.close());
      await symlink(pty.path, path);
      parts.defer(() => rm(path, { force: true }));
      ends.push(pty);
    }
    const [gateway, device] = ends as [Pty, Pty];
    gateway.output.pipe(device.input);
    device.output.pipe(gateway.input);
  } catch (error) {
    throw new MerestoneError('PortUnavailable', `no simulated serial line: ${(error as Error).message}`, {
      subject: gatewayEnd,
      hint: 'check that /dev/pts is mounted and that the folder can be written',
      cause: error,
    });
  }
  const standing = parts.move();
  return { gatewayEnd, deviceEnd, close: () => standing.disposeAsync() };
}

/** pty(7): a raw terminal that stays open while no other process has it open. */
async function openPty(): Promise<Pty> {
  const libc = loadLibc();
  const master = libc.posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  const path = Buffer.alloc(pathBytes);
  const isGiven = master >= 0 && libc.grantpt(master) === 0 && libc.unlockpt(master) === 0;
  if (!isGiven || libc.ptsname_r(master, path, pathBytes) !== 0) {
    if (master >= 0) await closeDescriptor(master);
    throw new Error('the system gives no pseudo-terminal');
  }
  const name = path.toString('latin1', 0, path.indexOf(0));
  const output = new ReadStream(master);
  // Its failures show at the ends.
  output.on('error', () => {});
  const closed = new Promise((resolve) => output.once('close', resolve));
  try {
    // Without an end of our own, the master would fail whenever no process has the path open.
    const terminal = await openDescriptor(name, O_RDWR | O_NOCTTY);
    makeRaw(libc, terminal);
    return { path: name, output, input: inputOf(master, output), close: () => end(terminal) };
  } catch (error) {
    output.destroy();
    throw error;
  }

  async function end(terminal: number): Promise<void> {
    output.destroy();
    await closed;
    await closeDescriptor(terminal);
  }
}

/** libuv would write to a master blocking: a terminal without a reader would stop this process. */
function inputOf(master: number, output: ReadStream): Writable {
  const push = (chunk: Buffer, done: (error?: Error) => void): void => {
    if (output.destroyed) return done();
    try {
      const rest = chunk.subarray(writeSync(master, chunk));
      if (rest.length === 0) return done();
      setTimeout(push, fullRetryMs, rest, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return done(error as Error);
      setTimeout(push, fullRetryMs, chunk, done);
    }
  };
  return new Writable({ write: (chunk: Buffer, _encoding, done) => push(chunk, done) }).on('error', () => {});
}

function makeRaw(libc: Libc, descriptor: number): void {
  const settings = Buffer.alloc(termiosBytes);
  libc.tcgetattr(descriptor, settings);
  libc.cfmakeraw(settings);
  libc.tcsetattr(descriptor, TCSANOW, settings);
}

interface Libc {
  posix_openpt(flags: number): number;
  grantpt(descriptor: number): number;
  unlockpt(descriptor: number): number;
  ptsname_r(descriptor: number, name: Buffer, length: number): number;
  tcgetattr(descriptor: number, settings: Buffer): number;
  cfmakeraw(settings: Buffer): void;
  tcsetattr(descriptor: number, when: number, settings: Buffer): number;
}

let libc: Libc | undefined;

/** The C library that Node itself uses, glibc or musl. */
function loadLibc(): Libc {
  if (libc !== undefined) return libc;
  const library = (createRequire(import.meta.url)('koffi') as typeof Koffi).load(null);
  libc = {
    posix_openpt: library.func('int posix_openpt(int)'),
    grantpt: library.func('int grantpt(int)'),
    unlockpt: library.func('int unlockpt(int)'),
    ptsname_r: library.func('int ptsname_r(int, void *, size_t)'),
    tcgetattr: library.func('int tcgetattr(int, void *)'),
    cfmakeraw: library.func('void cfmakeraw(void *)'),
    tcsetattr: library.func('int tcsetattr(int, int, void *)'),
  };
  return libc;
}
