/** Lateness never extends a wait beyond this, even if the configured timeout is shorter. */
const lateMsMax = 5000;
/** After a late answer, the next wait for that unit is this many times its answer time. */
const margin = 1.25;
/** Share of the newest answer time in the smoothed one. */
const weight = 1 / 8;

interface AnswerTime {
  usualMs: number;
  /** Time of the newest late answer, which decays with each faster answer; 0 if none was late. */
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

  /**
   * Records an answer that came after it was given up, with nothing delaying it. False: too late for any allowed wait.
   */
  late(unitId: number, answerMs: number): boolean {
    if (answerMs > lateMsMax) return false;
    this.#units.set(unitId, { usualMs: this.usualMs(unitId), lateMs: answerMs });
    return true;
  }
}
