import { chainStart } from '../../messages/hash-chain.ts';
import type { EventBody, LostRun } from '../../messages/event.ts';
import type { Head } from '../state/ledger.ts';

/** One event for both where `next` continues the run that `earlier` reports; else undefined. */
export function continueRun(earlier: EventBody, next: EventBody): EventBody | undefined {
  if (earlier.kind === 'samples-dropped') {
    if (next.kind !== 'samples-dropped' || next.reason !== earlier.reason) return undefined;
    const samples = earlier.samples + next.samples;
    return {
      ...earlier,
      samples,
      from: outer(Math.min, earlier.from, next.from),
      to: outer(Math.max, earlier.to, next.to),
    };
  }
  if (earlier.kind === 'dropped' || earlier.kind === 'quarantined') {
    if (next.kind !== earlier.kind || next.reason !== earlier.reason) return undefined;
    if (next.epoch !== earlier.epoch || next.seqFrom !== earlier.seqTo + 1) return undefined;
    return { ...earlier, ...joinRuns(earlier, next) };
  }
  return undefined;
}

function joinRuns(earlier: LostRun, next: LostRun): LostRun {
  return {
    epoch: earlier.epoch,
    seqFrom: earlier.seqFrom,
    seqTo: next.seqTo,
    batches: earlier.batches + next.batches,
    samples: earlier.samples + next.samples,
    from: outer(Math.min, earlier.from, next.from),
    to: outer(Math.max, earlier.to, next.to),
    chainBefore: earlier.chainBefore,
    chainAfter: next.chainAfter,
  };
}

function outer(pick: (a: number, b: number) => number, a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return pick(a, b);
}

/** In place of reports that are lost: it explains every hole that they may have explained. */
export function lostReports(
  { epoch, seq, chain }: Pick<Head, 'epoch' | 'seq'> & { chain: string | null },
  what: string,
): EventBody {
  const reason = `${what}; a batch missing up to here may have been reported in one`;
  const unknown = { batches: 0, samples: 0, from: null, to: null };
  const whole = { seqFrom: 1, seqTo: seq, chainBefore: chainStart.toString('hex'), chainAfter: chain };
  return { kind: 'quarantined', reason, epoch, ...unknown, ...whole };
}
