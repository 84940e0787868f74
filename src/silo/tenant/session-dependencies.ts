import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { LoadedIdentity } from '../../identity/load-identity.ts';
import type { LossCount } from '../loss-count.ts';
import type { StartMessage } from '../protocol.ts';
import type { TimeSources } from './ingest/timekeeper.ts';
import type { QuotaEdges } from './quota/quota-edges.ts';

/** What a tenant's session depends on, and whom it reports to. */
export interface TenantSessionDependencies {
  startMessage: StartMessage;
  identity: LoadedIdentity;
  clock: Clock;
  time: TimeSources;
  logger: Logger;
  losses: LossCount;
  edges: QuotaEdges;
  settled: (readings: number) => void;
}
