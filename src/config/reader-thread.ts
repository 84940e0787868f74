import { parentPort, workerData } from 'node:worker_threads';
import { MerestoneError } from '../base/error.ts';
import { loadConfig } from './load.ts';
import type { ReadMessage } from './reader.ts';

/** Entry of the thread that `readConfig` starts. */
parentPort?.postMessage(read(workerData as string));

function read(file: string): ReadMessage {
  try {
    const result = loadConfig(file);
    return 'options' in result ? { options: result.options } : { faults: result.faults };
  } catch (error) {
    if (!(error instanceof MerestoneError)) throw error;
    const { code, message, hint, subject } = error;
    return {
      error: {
        code,
        message,
        ...(hint !== undefined && { hint }),
        ...(subject !== undefined && { subject }),
      },
    };
  }
}
