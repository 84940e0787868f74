/** Seconds between the first reports of a flood of losses. */
const firstTicks = 10;
/** Seconds between reports while it lasts: at ten seconds, a day would fill a fiftieth of the audit log. */
const mostTicks = 60;

/** When to report a lasting condition: soon at first, then more rarely, and soon again after a quiet time. */
export class ReportThrottle {
  #everyTicks = firstTicks;
  #ticks = 0;

  /** Call once a second. `hasNews`: there is something to report. */
  isDue(hasNews: boolean): boolean {
    this.#ticks += 1;
    if (this.#ticks < this.#everyTicks) return false;
    this.#ticks = 0;
    this.#everyTicks = hasNews ? Math.min(mostTicks, this.#everyTicks * 2) : firstTicks;
    return hasNews;
  }
}
