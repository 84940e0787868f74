import { TokenBucket } from '../base/token-bucket.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { IdentityCheckStatus } from '../status/status.ts';
import type { DeviceOptions } from './options.ts';

/** A device says that it is another than its profile is for, or no longer does. */
export interface DeviceIdentity {
  device: string;
  profile: string | null;
  state: 'contradicted' | 'settled';
  /** What it says; null where it is settled. */
  says: string | null;
}

export type IdentityListener = (silo: string, identity: DeviceIdentity) => void;

/** One that cannot make up its mind does not fill an audit log; a pair more an hour. */
const told = { burst: 6, perSecond: 1 / 1800 };

/** One line and one notice whenever a device begins or ceases to say that it is another. */
export function identityNotes(
  { name, silo, profile }: DeviceOptions,
  { clock, logger, onIdentity }: { clock: Clock; logger: Logger; onIdentity: IdentityListener },
): (identity: IdentityCheckStatus) => void {
  const allowance = new TokenBucket(told, clock.monotonicMs());
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
    if (!allowance.take(1, clock.monotonicMs())) return;
    const notice = { device: name, profile: profile ?? null };
    if (isContradicted) onIdentity(silo, { ...notice, state: 'contradicted', says: reason });
    else onIdentity(silo, { ...notice, state: 'settled', says: null });
  };
}
