import type { Logger } from '../base/logger.ts';
import type { IdentityCheckStatus } from '../reading/status.ts';
import type { DeviceOptions } from './options.ts';

/** One line whenever what a device says of itself takes another turn, and none for one that is what it should be. */
export function identityLog(
  logger: Logger,
  { name, silo, profile }: DeviceOptions,
): (identity: IdentityCheckStatus) => void {
  let wasContradicted = false;
  return ({ state, reason }) => {
    const isContradicted = state === 'contradicted';
    if (isContradicted === wasContradicted) return;
    wasContradicted = isContradicted;
    const device = { device: name, silo, profile };
    if (isContradicted) {
      const hint =
        "compare unitId, wiring and profile, or write 'identify: off'; until then its values are implausible";
      logger.warn('device is another than its profile is for', { ...device, reason, hint });
    } else logger.info('device no longer says that it is another', { ...device, identity: state });
  };
}
