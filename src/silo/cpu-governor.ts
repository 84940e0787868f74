/** The share is a mean over ten seconds: only after as long does it tell of what was changed. */
export const windowMs = 10_000;
/** Between this part of the share and the whole of it nothing is changed: loosening starts below. */
const comfort = 0.8;
/** One sample in a hundred passes whatever happens, so that no device falls silent. */
const admitMin = 0.01;
/** By so much more is let in at a time. */
const loosening = 1.5;
/** Aimed at below the share, so that one step is usually enough. */
const aim = 0.9;

/** What a silo gives up so that its isolate keeps to its share of the CPU, by stages. */
export type CpuStage =
  | { at: 'free' }
  /** Only live batches are sent. `quietSinceMs`: since when the share is well below its limit. */
  | { at: 'backlog-waits'; sinceMs: number; quietSinceMs: number | undefined }
  /** And of the samples that come, only this share is taken. */
  | { at: 'thinning'; sinceMs: number; admit: number };

/**
 * The next stage after a measurement: at the limit the backlog waits; what is still at it a window later
 * takes fewer samples, by as much as is needed; well below it for a window, it loosens the same way back.
 * Times are monotonic ms.
 */
export function govern(stage: CpuStage, cpuShare: number, cpuShareMax: number, nowMs: number): CpuStage {
  const isOver = cpuShare >= cpuShareMax;
  const isQuiet = cpuShare < comfort * cpuShareMax;
  switch (stage.at) {
    case 'free':
      return isOver ? { at: 'backlog-waits', sinceMs: nowMs, quietSinceMs: undefined } : stage;
    case 'backlog-waits': {
      const quietSinceMs = isQuiet ? (stage.quietSinceMs ?? nowMs) : undefined;
      if (quietSinceMs !== undefined && nowMs - quietSinceMs >= windowMs) return { at: 'free' };
      if (!isOver || nowMs - stage.sinceMs < windowMs) return { ...stage, quietSinceMs };
      return { at: 'thinning', sinceMs: nowMs, admit: lessOf(1, cpuShare, cpuShareMax) };
    }
    case 'thinning':
      if (nowMs - stage.sinceMs < windowMs) return stage;
      if (isOver) return { ...stage, sinceMs: nowMs, admit: lessOf(stage.admit, cpuShare, cpuShareMax) };
      if (!isQuiet) return stage;
      if (stage.admit * loosening >= 1)
        return { at: 'backlog-waits', sinceMs: nowMs, quietSinceMs: undefined };
      return { ...stage, sinceMs: nowMs, admit: stage.admit * loosening };
  }
}

function lessOf(admit: number, cpuShare: number, cpuShareMax: number): number {
  return Math.max(admitMin, (admit * aim * cpuShareMax) / cpuShare);
}
