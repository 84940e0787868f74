/**
 * How many publishes may be in flight. The window grows while answers come as fast as the network can bring them and
 * shrinks when they are late because our own publishes queue before them: enough to fill the connection, and no more, so
 * that a new batch is not stuck behind a long queue of old ones. Pure; the caller keeps the value.
 */
export interface PublishWindow {
  readonly sizeMax: number;
  /** Grows by fractions; `windowSize` is the whole number to go by. */
  readonly size: number;
  /** Doubling per round trip until the first late answer, then one more per round trip. */
  readonly doubling: boolean;
  /** A publish that went out before this says nothing about the window as it is now. */
  readonly resizedAtMs: number;
  /** The fastest answers of this period and of the one before: the round trip without a queue. */
  readonly fastestMs: number;
  readonly fastestBeforeMs: number;
  readonly periodFromMs: number;
}

export interface PublishAnswer {
  sentAtMs: number;
  answeredAtMs: number;
  /** In flight when it had gone out, itself included: a window that is not used has nothing to prove. */
  inflight: number;
}

/** A route may change (a satellite hands over): what was fast longer ago than two periods no longer counts. */
const periodMs = 30_000;
/** Four is what a connection without delay needs, and what a slow one bears. */
const sizeInitial = 4;
/** Answers may take half as long again as without a queue: a queue of half a round trip keeps the connection full. */
const lateFactor = 1.5;
/** A queue of this many milliseconds does no harm, and it is more than a busy broker's own jitter. */
const lateFloorMs = 100;
/** From 1.5 times what fills the connection down to 0.9: the queue is gone, the connection nearly full. */
const shrinkFactor = 0.6;

export function openWindow(sizeMax: number, nowMs: number): PublishWindow {
  return {
    sizeMax: Math.max(1, sizeMax),
    size: Math.min(sizeInitial, Math.max(1, sizeMax)),
    doubling: true,
    resizedAtMs: nowMs,
    fastestMs: Infinity,
    fastestBeforeMs: Infinity,
    periodFromMs: nowMs,
  };
}

/** From 1 to `sizeMax`. */
export function windowSize(window: PublishWindow): number {
  return Math.floor(window.size);
}

/** The window after an answer of any kind (accepted, refused): each is a measured round trip. */
export function afterAnswer(window: PublishWindow, answer: PublishAnswer): PublishWindow {
  const roundTripMs = answer.answeredAtMs - answer.sentAtMs;
  const measured = measure(window, roundTripMs, answer.answeredAtMs);
  const emptyMs = Math.min(measured.fastestMs, measured.fastestBeforeMs);
  const late = roundTripMs > Math.max(emptyMs * lateFactor, emptyMs + lateFloorMs);
  if (late) return answer.sentAtMs < window.resizedAtMs ? measured : shrink(measured, answer.answeredAtMs);
  return answer.inflight * 2 >= window.size ? grow(measured) : measured;
}

function measure(window: PublishWindow, roundTripMs: number, nowMs: number): PublishWindow {
  if (nowMs - window.periodFromMs < periodMs) {
    return roundTripMs < window.fastestMs ? { ...window, fastestMs: roundTripMs } : window;
  }
  return { ...window, fastestBeforeMs: window.fastestMs, fastestMs: roundTripMs, periodFromMs: nowMs };
}

function grow(window: PublishWindow): PublishWindow {
  const step = window.doubling ? 1 : 1 / window.size;
  return { ...window, size: Math.min(window.size + step, window.sizeMax) };
}

/** At most once a round trip: answers to what went out before say nothing about the smaller window. */
function shrink(window: PublishWindow, nowMs: number): PublishWindow {
  return { ...window, size: Math.max(1, window.size * shrinkFactor), doubling: false, resizedAtMs: nowMs };
}
