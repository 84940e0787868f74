import { expiryRemedy, renewal } from '../../base/expiry.ts';
import { formatDuration } from '../../base/quantity.ts';
import type { IdentityStatus, SiloStatus, SpoolStatus } from '../status.ts';
import { because, type Finding, inParts, type Remark, unknownState } from './finding.ts';
import { lossRemarks } from './loss-remarks.ts';
import { quotaText } from './quota-words.ts';
import { uplinkRemarks } from './uplink-remarks.ts';

/** A spool this full will soon give up data. */
const spoolFullShare = 0.9;
/** A certificate is renewed in the last third of its life. */
const renewalShare = 1 / 3;

/** What is wrong with a silo at `nowMs` of the wall clock. */
export function siloFindings(silo: SiloStatus, nowMs: number): Finding[] {
  const remarks = silo.state === 'running' ? runningRemarks(silo, nowMs) : [notRunning(silo)];
  return [...remarks, ...lossRemarks(silo)].map((remark) => ({
    ...remark,
    who: `silo ${silo.name}`,
    silos: [silo.name],
  }));
}

function runningRemarks(silo: SiloStatus, nowMs: number): Remark[] {
  return [
    ...uplinkRemarks(silo),
    ...diskRemarks(silo),
    ...certificateRemarks(silo, nowMs),
    ...clockRemarks(silo),
    ...quotaRemarks(silo),
  ];
}

function notRunning({ state, reason, forMs }: SiloStatus): Remark {
  const own = inParts(reason);
  switch (state) {
    case 'refused':
      return {
        verdict: 'failing',
        kind: 'silo-refused',
        what: because('is refused, and stores and sends nothing', own.why),
        remedy: own.remedy ?? 'put right what the reason names; it is tried again every 10 s',
      };
    case 'quarantined':
      return {
        verdict: 'failing',
        kind: 'silo-quarantined',
        what: because('is quarantined, and stores and sends nothing', reason),
        remedy:
          "see in the log what it crashed of; it is tried again after a while, at once by 'merestone reload'",
      };
    case 'restarting':
      return {
        verdict: 'failing',
        kind: 'silo-restarting',
        what: because('is restarting', reason),
        remedy: 'it starts again by itself; where it does not stay, the log says what it crashed of',
      };
    case 'stopped':
      return {
        verdict: 'failing',
        kind: 'silo-stopped',
        what: because('is stopped', reason),
        remedy: "start the daemon again: 'systemctl restart merestone'",
      };
    case 'starting':
    case 'running':
      // Its samples still wait in memory: a script that waits for good health after a start must go on waiting.
      return {
        verdict: 'failing',
        kind: 'silo-starting',
        what: because(`has been starting for ${formatDuration(forMs)}, and stores nothing yet`, own.why),
        remedy: own.remedy ?? 'wait a moment; where it stays so, the log says what it waits for',
      };
    default:
      return unknownState(state);
  }
}

function diskRemarks({ spool, quotas }: SiloStatus): Remark[] {
  if (spool === null) return [];
  const { disk } = spool;
  if (disk.state === 'failing') {
    const { why, remedy } = inParts(disk.reason);
    const since = disk.sinceMs === null ? '' : ` for ${formatDuration(disk.sinceMs)}`;
    return [
      {
        verdict: 'failing',
        kind: 'disk',
        what: because(
          `has ${disk.isShort ? 'given up batches for want of room' : 'had a disk that takes nothing'}${since}`,
          why,
        ),
        remedy: remedy ?? 'free space on it, or replace a card that is worn out or read-only',
      },
    ];
  }
  const isTold = quotas.some(({ quota, state }) => quota === 'spool-bytes' && state === 'reached');
  if (isTold || fullness(spool) < spoolFullShare) return [];
  return [
    {
      verdict: 'degraded',
      kind: 'spool-full',
      what: `has filled ${Math.round(fullness(spool) * 100)} % of its spool`,
      remedy: 'bring the uplink back, or raise spool.bytesMax: a full one gives up data (spool.whenFull)',
    },
  ];
}

function fullness({ bytesInUse, bytesMax }: SpoolStatus): number {
  return bytesMax > 0 ? bytesInUse / bytesMax : 0;
}

function certificateRemarks(silo: SiloStatus, nowMs: number): Remark[] {
  const { identity, reason, uplink } = silo;
  const remarks = identity === null ? [] : endRemarks(identity, uplink?.state === 'held', silo.clock, nowMs);
  if (reason !== null) {
    remarks.push({
      verdict: 'degraded',
      kind: 'renewal',
      what: `does not take up the certificate files as they are now: ${reason}`,
      remedy: 'put them right; until then it goes on with the certificate that it has',
    });
  }
  return remarks;
}

function endRemarks(
  { notBefore, notAfter, endsBy }: IdentityStatus,
  isHeld: boolean,
  clock: SiloStatus['clock'],
  nowMs: number,
): Remark[] {
  const kind = 'certificate';
  const end = new Date(notAfter).toISOString().slice(0, 10);
  const whose = `has a certificate ${endsBy === null ? 'that' : `whose CA ${endsBy}`}`;
  const leftMs = notAfter - nowMs;
  const renew = clock === 'good' ? renewal(endsBy) : `see that the clock is right, then ${renewal(endsBy)}`;
  if (leftMs <= 0 || isHeld) {
    const what = `${whose} ended on ${end}: samples are stored, and nothing is sent`;
    return [{ verdict: 'failing', kind, what, remedy: expiryRemedy(Math.max(0, -leftMs), renew) }];
  }
  if (leftMs >= (notAfter - notBefore) * renewalShare) return [];
  const ownEnd = `has a certificate in the last third of its life: it ends on ${end}`;
  const what = endsBy === null ? ownEnd : `${whose} ends on ${end}`;
  return [{ verdict: 'degraded', kind, what, remedy: renew }];
}

function clockRemarks({ clock }: SiloStatus): Remark[] {
  if (clock === 'good') return [];
  return [
    {
      verdict: 'degraded',
      kind: 'clock',
      what: 'does not know the time',
      remedy:
        "give the box NTP ('timedatectl' shows it) or a battery clock; samples wait for it a while, then go out with estimated times",
    },
  ];
}

function quotaRemarks({ quotas }: SiloStatus): Remark[] {
  return quotas
    .filter(({ state }) => state === 'reached')
    .map(({ quota, used, limit }) => {
      const { name, show, consequence, remedy } = quotaText(quota);
      const what = `has reached a quota, ${name}: ${show(used)} of ${show(limit)}; ${consequence}`;
      return { verdict: 'degraded', kind: 'quota', what, remedy };
    });
}
