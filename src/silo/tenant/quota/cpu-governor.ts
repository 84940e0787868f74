/** The share is a mean over ten seconds: only after as long does it tell of what was changed. */
export const windowMs = 10_000;
/** Below this part of the share for a window there is surely room: it loosens. */
const comfort = 0.8;
/** One sample in a hundred passes whatever happens, so that no device falls silent. */
const admitMin = 0.01;
/** By so much more is let in at a time. */
const loosening = 1.5;
/** Aimed at below the share, so that one step is usually enough. */
const aim = 0.9;

/** Between comfort and the limit nothing tells whether there is room for more: after this long it is tried. */
const pauseMinMs = 3 * windowMs;
/** Each try that failed doubles the pause before the next one, up to this. One that stands as long was right. */
const pauseMaxMs = 600_000;
/** What a try in thinning aims at, and by how much it lets in more at least: so it is hardly over if it fails. */
const trialAim = 0.97;
const trialStep = 1.05;

/** Tries to loosen between comfort and the limit. */
interface Trial {
  /** Before the next one. */
  pauseMs: number;
  /** Since when the last one stands; undefined: it failed. */
  standsSinceMs: number | undefined;
}

/** What a silo gives up so that its isolate keeps to its share of the CPU, by stages. */
export type CpuLevel =
  | { at: 'free'; trial?: Trial }
  /** Only live batches are sent. `quietSinceMs`: since when the share is well below its limit. */
  | { at: 'backlog-waits'; sinceMs: number; quietSinceMs: number | undefined; trial?: Trial }
  /** And of the samples that come, only this share is taken. */
  | { at: 'thinning'; sinceMs: number; admit: number; trial?: Trial };

/**
 * The next stage after a measurement: at the limit the backlog waits; what is still at it a window later
 * takes fewer samples, by as much as is needed; well below it for a window, it loosens the same way back.
 * In between it tries to, a step at a time and ever more rarely while that fails. Times are monotonic ms.
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
  const pauseMs = before === undefined || hasStood(before, nowMs) ? pauseMinMs : before.pauseMs;
  return { trial: { pauseMs, standsSinceMs: nowMs } };
}

/** After it had to tighten: a try that still stood has failed, unless it stood for long. */
function failed(before: Trial | undefined, nowMs: number): { trial?: Trial } {
  if (before === undefined || hasStood(before, nowMs)) return {};
  if (before.standsSinceMs === undefined) return { trial: before };
  return { trial: { pauseMs: Math.min(pauseMaxMs, 2 * before.pauseMs), standsSinceMs: undefined } };
}

function hasStood({ standsSinceMs }: Trial, nowMs: number): boolean {
  return standsSinceMs !== undefined && nowMs - standsSinceMs > pauseMaxMs;
}

function lessOf(admit: number, cpuShare: number, cpuShareMax: number): number {
  return Math.max(admitMin, (admit * aim * cpuShareMax) / cpuShare);
}
