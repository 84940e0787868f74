import { MerestoneError } from '../base/error.ts';

/**
 * A spool that was found damaged is salvaged by opening it again, and everything in this isolate holds on to
 * it: the fault is thrown where nothing catches it, the isolate ends alone, and the gateway starts it anew.
 */
export function endIfDamaged(error: unknown): void {
  if (!(error instanceof MerestoneError) || error.code !== 'SpoolDamaged') return;
  setImmediate(() => {
    throw error;
  });
}
