import { spawn, type ChildProcess } from 'node:child_process';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep, systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';

/** Both ends of a simulated serial cable. What goes in at one comes out at the other. */
export interface PtyPair {
  /** Path for the program under test. */
  gatewayEnd: string;
  /** Path for the simulated device. */
  deviceEnd: string;
  /** Of the socat that joins them. */
  pid: number;
  /** Ends socat, whereupon both ends hang up and their paths vanish: an adapter that was pulled out. */
  close(): Promise<void>;
}

/** socat needs milliseconds; a machine under full load may need seconds. */
const readyWithinMs = 10_000;

/**
 * Joins two pseudo-terminals by socat, as `DIRECTORY/NAME` and `DIRECTORY/NAME-device`.
 * Throws PortUnavailable where socat is missing or does not come up.
 */
export async function openPtyPair(directory: string, name: string): Promise<PtyPair> {
  const gatewayEnd = join(directory, name);
  const deviceEnd = join(directory, `${name}-device`);
  // In a group of its own, so that a Ctrl-C in the terminal leaves the order of closing to us.
  const child = spawn('socat', [`pty,raw,echo=0,link=${gatewayEnd}`, `pty,raw,echo=0,link=${deviceEnd}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const said: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const gone = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(said.join('').trim() || `ended with ${code ?? signal}`));
  });
  const waiting = new AbortController();
  const failure = await Promise.race([ready([gatewayEnd, deviceEnd], waiting.signal), gone]);
  waiting.abort();
  if (failure !== undefined) {
    await end(child);
    throw new MerestoneError('PortUnavailable', `socat could not join two pseudo-terminals: ${failure}`, {
      subject: gatewayEnd,
      hint: 'install socat (apt-get install socat)',
    });
  }
  return { gatewayEnd, deviceEnd, pid: child.pid!, close: () => end(child) };
}

/** Resolves with undefined once every path is there, else with what is missing. */
async function ready(paths: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  const deadline = systemClock.monotonicMs() + readyWithinMs;
  while (systemClock.monotonicMs() < deadline && !signal.aborted) {
    const there = await Promise.all(paths.map((path) => lstat(path).then(Boolean, () => false)));
    if (there.every(Boolean)) return undefined;
    await sleep(systemClock, 10, signal);
  }
  return 'not ready in time';
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await exited;
}
