import { backoffMs } from '../../../base/backoff.ts';
import type { Quality } from '../../../reading/quality.ts';
import { isOfTheGateway } from '../exception.ts';

/** After this many failed polls in a row a device is dead: it is asked only in growing pauses. */
const deadAfterFailures = 2;
/** The longest pause: with the waits for a gap and for its share, a returning device is asked within 15 s. */
const deadPause = { initialMs: 1000, maxMs: 10_000, jitter: 0 };
/** Part of the dead devices' share of one longest pause for short tries; the rest is for long ones. */
const shortTriesShare = 0.75;
/** One try in this many waits the whole response timeout: for a device never heard, or one that became slow. */
const longTryEvery = { unheard: 8, known: 64 };
/** A short try waits this many times the usual answer time: a live device does not take longer. */
const slownessFactor = 3;
const tryMsMin = 50;
/** Share of the newest answer time in the smoothed one. */
const answerWeight = 1 / 8;

/**
 * Whether a device is alive, by the results of its polls. Only data proves it: a device that is starting, or the
 * gateway before an absent one, may answer everything with exceptions.
 */
export class Health {
  readonly #responseTimeoutMs: number;
  #failures = 0;
  #pausedUntilMs = 0;
  #answerMs: number | null = null;
  #lastWord: Quality = 'offline';

  constructor(responseTimeoutMs: number) {
    this.#responseTimeoutMs = responseTimeoutMs;
  }

  get isDead(): boolean {
    return this.#failures >= deadAfterFailures;
  }

  /** Polls in a row without a value. */
  get failures(): number {
    return this.#failures;
  }

  /** When a dead device is asked again. */
  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }

  /** Smoothed time from request to answer; null before the first. */
  get answerMs(): number | null {
    return this.#answerMs;
  }

  /** Quality of the points of a dead device: the exception that it gives, or `offline`. */
  get lastWord(): Quality {
    return this.#lastWord;
  }

  /** It is present, but answers only with exceptions. */
  get speaks(): boolean {
    const [word, code] = this.#lastWord.split(':');
    return word === 'exception' && !isOfTheGateway(Number(code));
  }

  lived(): void {
    this.#failures = 0;
  }

  measured(answerMs: number): void {
    const before = this.#answerMs ?? answerMs;
    this.#answerMs = before + (answerMs - before) * answerWeight;
  }

  /** A poll brought no value. */
  failed(lastWord: Quality, now: number): void {
    this.#failures += 1;
    this.#lastWord = lastWord;
    if (this.isDead) {
      this.#pausedUntilMs = now + backoffMs(this.#failures - deadAfterFailures + 1, deadPause, 0);
    }
  }

  endPause(): void {
    this.#pausedUntilMs = 0;
  }

  /** How long one try of a dead device may wait. */
  tryMs(deadShareEachMs: number): number {
    const longEvery = this.#answerMs === null ? longTryEvery.unheard : longTryEvery.known;
    if (this.#failures % longEvery === 0) return this.#responseTimeoutMs;
    const usualMs = Math.max(tryMsMin, (this.#answerMs ?? 0) * slownessFactor);
    return Math.min(this.#responseTimeoutMs, Math.max(usualMs, deadShareEachMs * shortTriesShare));
  }
}

/** The part of one longest pause that each of `count` dead devices may take. */
export function deadShareEach(deadShareMax: number, count: number): number {
  return (deadShareMax * deadPause.maxMs) / Math.max(1, count);
}
