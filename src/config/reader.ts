import { Worker } from 'node:worker_threads';
import { type ErrorCode, MerestoneError } from '../base/error.ts';
import type { ConfigFault, GatewayOptions } from './options.ts';

export type ReadResult = { options: GatewayOptions } | { faults: ConfigFault[] };

/** What the thread says: a MerestoneError crosses threads as its parts. */
export type ReadMessage =
  | ReadResult
  | { error: { code: ErrorCode; message: string; hint?: string; subject?: string } };

/**
 * The configuration in `file` or its faults, read in a thread that ends with it: parsing takes tens of
 * megabytes and libraries that the daemon has no use for afterwards. Rejects with what `loadConfig` throws.
 */
export function readConfig(file: string): Promise<ReadResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./reader-thread.ts', import.meta.url), { workerData: file });
    let answer: ReadMessage | undefined;
    worker.once('message', (message: ReadMessage) => {
      answer = message;
    });
    worker.once('error', reject);
    // Only when the thread is gone is its memory free for what comes next.
    worker.once('exit', () => {
      if (answer === undefined)
        return reject(new MerestoneError('Internal', 'the configuration was not read'));
      if (!('error' in answer)) return resolve(answer);
      const { code, message, ...details } = answer.error;
      reject(new MerestoneError(code, message, details));
    });
  });
}
