/** No unit is waited for longer than this for having been late, be it set to less. */
const lateMsMax = 5000;
/** A unit that was late is waited for this many times as long. */
const margin = 1.25;
/** Share of the newest answer time in the smoothed one. */
const weight = 1 / 8;

interface AnswerTime {
  usualMs: number;
  /** The latest that was late, fading with each that comes sooner; 0 where none was. */
  lateMs: number;
}

/** How long each unit of a connection takes to answer, late answers included. */
export class AnswerTimes {
  readonly #units = new Map<number, AnswerTime>();

  usualMs(unitId: number): number {
    return this.#units.get(unitId)?.usualMs ?? 0;
  }

  /** How long to wait for an answer that may take `timeoutMs`. */
  waitMs(unitId: number, timeoutMs: number): number {
    const { lateMs = 0 } = this.#units.get(unitId) ?? {};
    return Math.max(timeoutMs, Math.min(lateMs * margin, lateMsMax));
  }

  inTime(unitId: number, answerMs: number): void {
    const { usualMs = answerMs, lateMs = 0 } = this.#units.get(unitId) ?? {};
    this.#units.set(unitId, {
      usualMs: usualMs + (answerMs - usualMs) * weight,
      lateMs: lateMs > answerMs ? lateMs + (answerMs - lateMs) * weight : lateMs,
    });
  }

  /** It came after it was given up, and nothing held it back. False: so late that no wait would do. */
  late(unitId: number, answerMs: number): boolean {
    if (answerMs > lateMsMax) return false;
    this.#units.set(unitId, { usualMs: this.usualMs(unitId), lateMs: answerMs });
    return true;
  }
}
