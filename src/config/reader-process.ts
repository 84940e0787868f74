import { MerestoneError } from '../base/error.ts';
import { loadConfig } from './load-config.ts';
import type { ReadMessage } from './config-reader.ts';

/** Entry of the process that `readConfig` starts: the file's name is its only argument. */
process.send?.(read(process.argv[2] ?? ''));

function read(file: string): ReadMessage {
  try {
    const result = loadConfig(file);
    if ('faults' in result) return { faults: result.faults };
    return { options: result.options, warnings: result.warnings };
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
