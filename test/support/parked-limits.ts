import type { AsideLimits } from '../../src/backend/parked-messages.ts';

export const asideLimits: AsideLimits = {
  waitingBytesMax: 1_000_000,
  refusedBytesMax: 100_000,
  tenantRefusedBytesMax: 200_000,
};
