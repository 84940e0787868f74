import type { ParkedLimits } from '../../src/backend/parked-messages.ts';

export const asideLimits: ParkedLimits = {
  waitingBytesMax: 1_000_000,
  heldBytesMax: 128e6,
  refusedBytesMax: 100_000,
  tenantRefusedBytesMax: 200_000,
};
