/** The share is a mean over ten seconds: it shows the effect of a change only after this time. */
export const windowMs = 10_000;
/** Below this part of the share for a whole window, the governor loosens. */
const comfort = 0.8;
/** At least one sample in a hundred passes, so that no device falls silent. */
const admitMin = 0.01;
/** Factor by which one step admits more. */
const loosening = 1.5;
/** The target as part of the share: below it, so that one step is usually enough. */
const aim = 0.9;

/** Between `comfort` and the limit, only a trial shows whether there is room: the first comes after this time. */
const pauseMinMs = 3 * windowMs;
/** Each failed trial doubles the pause before the next, up to this. A trial that lasts this long has succeeded. */
const pauseMaxMs = 600_000;
/** Target of a trial while thinning: close to the share, so that a failed trial exceeds it only a little. */
const trialAim = 0.97;
/** Factor by which a trial admits more at least. */
const trialStep = 1.05;

/** Trials to loosen between `comfort` and the limit. */
interface Trial {
  /** Pause before the next trial. */
  pauseMs: number;
  /** Since when the last trial has held; undefined: it failed. */
  heldSinceMs: number | undefined;
}

/** The levels by which a silo reduces its work to stay within its share of the CPU. */
export type CpuLevel =
  | { at: 'free'; trial?: Trial }
  /** Only live batches are sent. `quietSinceMs`: since when the share is well below its limit. */
  | { at: 'backlog-waits'; sinceMs: number; quietSinceMs: number | undefined; trial?: Trial }
  /** The backlog waits, and only the share `admit` of the samples is accepted. */
  | { at: 'thinning'; sinceMs: number; admit: number; trial?: Trial };

/**
 * The next level after a measurement. At the limit the backlog waits; if a window later the share is still at the
 * limit, as many samples are dropped as needed. Well below the limit for a window, it loosens in reverse order. In
 * between it makes trials, one step at a time, more rarely while they fail. Times are monotonic ms.
 */
export function govern(level: CpuLevel, cpuShare: number, cpuShareMax: number, nowMs: number): CpuLevel {
  const isOver = cpuShare >= cpuShareMax;
  const isQuiet = cpuShare < comfort * cpuShareMax;
  switch (level.at) {
    case 'free':
      return isOver ? backlogWaits(nowMs, failed(level.trial, nowMs)) : level;
    case 'backlog-waits': {
      const quietSinceMs = isQuiet ? (level.quietSinceMs ?? nowMs) : undefined;
      if (quietSinceMs !== undefined && nowMs - quietSinceMs >= windowMs) return { at: 'free' };
      if (isOver && nowMs - level.sinceMs >= windowMs) {
        const admit = lessOf(1, cpuShare, cpuShareMax);
        return { at: 'thinning', sinceMs: nowMs, admit, ...failed(level.trial, nowMs) };
      }
      if (!isOver && isTrialDue(level, nowMs)) return { at: 'free', ...tried(level.trial, nowMs) };
      return { ...level, quietSinceMs };
    }
    case 'thinning': {
      if (nowMs - level.sinceMs < windowMs) return level;
      if (isOver) {
        const admit = lessOf(level.admit, cpuShare, cpuShareMax);
        return { at: 'thinning', sinceMs: nowMs, admit, ...failed(level.trial, nowMs) };
      }
      if (!isQuiet && !isTrialDue(level, nowMs)) return level;
      const admit =
        level.admit * (isQuiet ? loosening : Math.max(trialStep, (trialAim * cpuShareMax) / cpuShare));
      const trial = isQuiet ? {} : tried(level.trial, nowMs);
      return admit >= 1 ? backlogWaits(nowMs, trial) : { at: 'thinning', sinceMs: nowMs, admit, ...trial };
    }
  }
}

function backlogWaits(nowMs: number, trial: { trial?: Trial }): CpuLevel {
  return { at: 'backlog-waits', sinceMs: nowMs, quietSinceMs: undefined, ...trial };
}

function isTrialDue({ sinceMs, trial }: { sinceMs: number; trial?: Trial }, nowMs: number): boolean {
  return nowMs - sinceMs >= (trial?.pauseMs ?? pauseMinMs);
}

function tried(before: Trial | undefined, nowMs: number): { trial: Trial } {
  const pauseMs = before === undefined || hasHeld(before, nowMs) ? pauseMinMs : before.pauseMs;
  return { trial: { pauseMs, heldSinceMs: nowMs } };
}

/** After tightening: a current trial has failed, unless it held for `pauseMaxMs`. */
function failed(before: Trial | undefined, nowMs: number): { trial?: Trial } {
  if (before === undefined || hasHeld(before, nowMs)) return {};
  if (before.heldSinceMs === undefined) return { trial: before };
  return { trial: { pauseMs: Math.min(pauseMaxMs, 2 * before.pauseMs), heldSinceMs: undefined } };
}

function hasHeld({ heldSinceMs }: Trial, nowMs: number): boolean {
  return heldSinceMs !== undefined && nowMs - heldSinceMs > pauseMaxMs;
}

function lessOf(admit: number, cpuShare: number, cpuShareMax: number): number {
  return Math.max(admitMin, (admit * aim * cpuShareMax) / cpuShare);
}
