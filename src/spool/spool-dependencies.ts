import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { OwnedOrigin } from '../messages/topic.ts';
import type { KeyWrapper } from './sealing/keyring.ts';

export interface SpoolDependencies {
  /** Whose data it is; out of a verified certificate. */
  origin: OwnedOrigin;
  keys: KeyWrapper;
  clock: Clock;
  logger: Logger;
}
