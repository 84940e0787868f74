import { MerestoneError } from '../base/error.ts';
import { formatFault } from './fault-line.ts';
import type { ConfigFault } from './options.ts';

/** A configuration with faults, refused as a whole. */
export class ConfigRefused extends MerestoneError {
  readonly faults: readonly ConfigFault[];

  constructor(file: string, faults: readonly ConfigFault[]) {
    super('ConfigInvalid', faults.map(formatFault).join('\n'), {
      hint: `'merestone check --config ${file}' says this at any time`,
    });
    this.faults = faults;
  }
}
