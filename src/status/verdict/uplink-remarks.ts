import { formatDuration } from '../../base/quantity.ts';
import type { QuotaName, SiloStatus, UplinkStatus } from '../status.ts';
import { because, inParts, limitMs, type Remark } from './finding.ts';

/** Quotas that keep batches on the disk: while one is reached, unaccepted batches are not the broker's fault. */
const holdingQuotas: ReadonlySet<QuotaName> = new Set(['uplink-bytes-per-day', 'cpu-share']);

/** Whether a silo's batches arrive. The remedy does not say that data waits on a disk that takes nothing. */
export function uplinkRemarks(silo: SiloStatus): Remark[] {
  const remarks = arrivalRemarks(silo);
  if (silo.spool?.disk.state !== 'failing' || silo.spool.disk.isShort) return remarks;
  return remarks.map((each) => ({ ...each, remedy: each.remedy.replace(/^[^;]* waits on the disk; /, '') }));
}

function arrivalRemarks(silo: SiloStatus): Remark[] {
  const { uplink, batches } = silo;
  if (uplink?.state === 'held') return []; // the certificate's remark says it
  const limit = limitMs(batches.lingerMs);
  if (uplink === null) return [noUplink(silo, limit)];
  const offlineMs = offlineFor(uplink);
  if (offlineMs !== null && offlineMs > limit) return [noSession(uplink, offlineMs, 'failing')];
  const isHeld = silo.quotas.some(({ quota, state }) => state === 'reached' && holdingQuotas.has(quota));
  const { unacceptedMs } = batches;
  if (unacceptedMs !== null && unacceptedMs > limit && !isHeld) {
    const what = `has had no batch accepted for ${formatDuration(unacceptedMs)}`;
    return [{ ...notAccepted(uplink, what), verdict: 'failing' }];
  }
  if (offlineMs !== null) return [noSession(uplink, offlineMs, 'degraded')];
  return uplink.reason === null
    ? []
    : [{ ...notAccepted(uplink, 'sends what is not accepted'), verdict: 'degraded' }];
}

/** Null while there is a session. */
function offlineFor({ state, offlineMs, forMs }: UplinkStatus): number | null {
  return state === 'online' ? null : (offlineMs ?? forMs);
}

function noUplink({ forMs }: SiloStatus, limit: number): Remark {
  return {
    verdict: forMs > limit ? 'failing' : 'degraded',
    kind: 'session',
    what: 'has no uplink yet',
    remedy: 'wait a moment; where it stays so, the log says why',
  };
}

function noSession({ state, reason }: UplinkStatus, ms: number, verdict: Remark['verdict']): Remark {
  const { why, remedy } = inParts(reason);
  const todo =
    remedy ??
    'check the network, the name and port in uplink.url, and that the broker runs and knows this certificate';
  return {
    verdict,
    kind: 'session',
    what: because(
      `has had no session with its broker for ${formatDuration(ms)}: its uplink is ${state}`,
      why,
    ),
    remedy: `data waits on the disk; ${todo}`,
  };
}

function notAccepted(uplink: UplinkStatus, what: string): Omit<Remark, 'verdict'> {
  const why =
    uplink.reason ??
    (uplink.state === 'online' ? 'the broker does not answer' : `its uplink is ${uplink.state}`);
  return {
    kind: 'not-accepted',
    what: because(what, why),
    remedy: remedies[uplink.lastAnswer ?? 'accepted'],
  };
}

const remedies: Record<NonNullable<UplinkStatus['lastAnswer']>, string> = {
  refused:
    "data waits on the disk; have the broker let this gateway write its topics: 'merestone broker-policy' prints what it needs",
  'no-subscribers':
    "data waits on the disk; start the backend and see that it subscribes to this tenant's topics, or set uplink.noSubscribers: accept where the broker's own rules consume",
  'too-large':
    "what is larger waits on the disk; raise the broker's limit, or lower batch.bytesMax for what is still to come",
  accepted:
    "what is not accepted waits on the disk; the broker's log says why, and 'merestone broker-policy' prints what it needs",
};
