/** A flood of losses is one event in ten seconds at first, */
const firstTicks = 10;
/** and one a minute where it does not end: a day of it would else fill a fiftieth of the audit log. */
const mostTicks = 60;

/** When to tell of what goes on: soon at first, ever more rarely while it lasts, and soon again after a rest. */
export class ReportThrottle {
  #everyTicks = firstTicks;
  #ticks = 0;

  /** Once a second. `hasNews`: there is something to tell. */
  isDue(hasNews: boolean): boolean {
    this.#ticks += 1;
    if (this.#ticks < this.#everyTicks) return false;
    this.#ticks = 0;
    this.#everyTicks = hasNews ? Math.min(mostTicks, this.#everyTicks * 2) : firstTicks;
    return hasNews;
  }
}
