import type { UplinkStatus } from '../../../status/status.ts';

/** The uplink's status, with the number of batches that wait because of the broker's size limit. */
export function withOversize(status: UplinkStatus, oversizeBatches: number): UplinkStatus {
  if (oversizeBatches === 0) return status;
  const wait =
    oversizeBatches === 1
      ? '1 batch waits here: it is larger than the broker takes'
      : `${oversizeBatches} batches wait here: they are larger than the broker takes`;
  const limit = status.packetBytesMax === null ? '' : ` (${status.packetBytesMax} bytes)`;
  const reasons = [status.reason, `${wait}${limit}; raise its limit, or lower batch.bytesMax`];
  return { ...status, oversizeBatches, reason: reasons.filter((reason) => reason !== null).join('; ') };
}
