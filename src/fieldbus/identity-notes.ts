import { TokenBucket } from '../base/token-bucket.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { IdentityCheckStatus } from '../status/status.ts';
import type { DeviceOptions } from './options.ts';

/** A device contradicts its profile, or no longer does. */
export interface DeviceIdentity {
  device: string;
  profile: string | null;
  state: 'contradicted' | 'settled';
  /** What it reports; null once it fits its profile. */
  says: string | null;
}

export type IdentityListener = (silo: string, identity: DeviceIdentity) => void;

/** Limits the entries of a device that alternates, so that it can't fill the audit log: one more pair an hour. */
const told = { burst: 6, perSecond: 1 / 1800 };

/** One log line and one notice whenever a device begins or ceases to contradict its profile. */
export function identityNotes(
  { name, silo, profile }: DeviceOptions,
  { clock, logger, onIdentity }: { clock: Clock; logger: Logger; onIdentity: IdentityListener },
): (identity: IdentityCheckStatus) => void {
  const bucket = new TokenBucket(told, clock.monotonicMs());
  let isContradicted = false;
  return ({ state, reason }) => {
    if ((state === 'contradicted') === isContradicted) return;
    isContradicted = !isContradicted;
    const fields = { device: name, silo, profile };
    if (isContradicted) {
      const hint =
        "compare unitId, wiring and profile, or write 'identify: off'; until then its values are implausible";
      logger.warn('device is another than its profile is for', { ...fields, reason, hint });
    } else logger.info('device no longer says that it is another', { ...fields, identity: state });
    if (!bucket.take(1, clock.monotonicMs())) return;
    const notice = { device: name, profile: profile ?? null };
    if (isContradicted) onIdentity(silo, { ...notice, state: 'contradicted', says: reason });
    else onIdentity(silo, { ...notice, state: 'settled', says: null });
  };
}
