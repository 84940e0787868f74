import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, MerestoneError } from '../base/error.ts';
import type { ConfigFault, GatewayOptions } from './options.ts';

type ReadResult = { options: GatewayOptions; warnings: string[] } | { faults: ConfigFault[] };

/** What the process says: a MerestoneError crosses over as its parts. */
export type ReadMessage =
  | ReadResult
  | { error: { code: ErrorCode; message: string; hint?: string; subject?: string } };

const program = fileURLToPath(new URL('./reader-process.ts', import.meta.url));

/**
 * The configuration in `file` or its faults, read in a process that ends with it: parsing takes tens of
 * megabytes and libraries that the daemon has no use for afterwards, and a thread would not give the memory
 * back. Rejects with what `loadConfig` throws.
 */
export function readConfig(file: string): Promise<ReadResult> {
  return new Promise((resolve, reject) => {
    const reader = fork(program, [file], { serialization: 'advanced' });
    let answer: ReadMessage | undefined;
    reader.once('message', (message) => {
      answer = message as ReadMessage;
    });
    reader.once('error', reject);
    reader.once('close', (code, signal) => {
      if (answer === undefined) {
        const end = signal ?? `exit code ${code}`;
        return reject(new MerestoneError('Internal', `the configuration was not read (${end})`));
      }
      if (!('error' in answer)) return resolve(answer);
      const { code: errorCode, message, ...details } = answer.error;
      reject(new MerestoneError(errorCode, message, details));
    });
  });
}
