/** The rate is a mean over this many seconds: devices that are polled every few seconds would make it jump. */
const meanSeconds = 10;

/** Measures how many samples a second arrive, admitted or not. */
export class RateMeter {
  #second = 0;
  #seconds: number[] = [];

  count(samples: number): void {
    this.#second += samples;
  }

  /** Once a second. */
  turn(): void {
    this.#seconds = [...this.#seconds.slice(1 - meanSeconds), this.#second];
    this.#second = 0;
  }

  get perSecond(): number {
    const sum = this.#seconds.reduce((total, each) => total + each, 0);
    return sum / Math.max(1, this.#seconds.length);
  }
}
