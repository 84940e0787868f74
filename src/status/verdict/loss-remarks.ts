import type { LossReason } from '../../reading/loss.ts';
import type { SiloStatus } from '../status.ts';
import type { Remark } from './finding.ts';

/** Losses that go on. Losses by quota have the quota's own remark; losses by a restart are over when they show. */
const words: Readonly<Partial<Record<LossReason, { why: string; remedy: string }>>> = {
  overrun: {
    why: 'it does not keep up with them (overrun)',
    remedy: "read less often ('every'), or find out what takes the CPU or the disk of this box",
  },
  'no-identity': {
    why: 'nothing proves whose they are (no-identity)',
    remedy: "put its certificate right: 'merestone check' says what is wrong with it",
  },
  disk: {
    why: 'no disk takes them (disk)',
    remedy: 'free space on its disk, or replace a card that is worn out or read-only',
  },
  crash: { why: 'it crashed with them in its hands (crash)', remedy: 'the log says what it crashed of' },
};

/** Samples that are being lost, and quarantined batches. */
export function lossRemarks({ dropping, spool }: SiloStatus): Remark[] {
  // A silo may report any text as a reason, even `toString`.
  const known = dropping.flatMap((reason) =>
    Object.hasOwn(words, reason) ? words[reason as LossReason]! : [],
  );
  const remarks = known.map(({ why, remedy }): Remark => {
    const what = `is losing samples: ${why}`;
    return { verdict: 'degraded', kind: 'dropping', what, remedy };
  });
  const batches = spool?.rejected ?? 0;
  if (batches === 0) return remarks;
  const counted = batches === 1 ? '1 batch that its broker has' : `${batches} batches that its broker has`;
  return [
    ...remarks,
    {
      verdict: 'degraded',
      kind: 'quarantined-batches',
      what: `keeps ${counted} refused again and again`,
      remedy:
        "have the broker take them (its log, its limits, its access list), then send them by 'merestone spool retry'",
    },
  ];
}
