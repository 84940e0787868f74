import type { AsideLimits } from '../../src/backend/dead-letter-store.ts';

export const asideLimits: AsideLimits = {
  waitingBytesMax: 1_000_000,
  refusedBytesMax: 100_000,
  tenantRefusedBytesMax: 200_000,
};
