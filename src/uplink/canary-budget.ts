/** Of the bytes that they vouch for, what canaries may add. */
const share = 0.1;
/** And what each session may spend beyond, so that a short one settles at once. */
const freeBytes = 65_536;
/** Proof waits at most this long for more messages: if there are few, a canary costs as much as what it proves. */
const waitMsMax = 10_000;
/** What waits for proof is kept in memory: more than this is worth a canary. */
const waitingBytesMax = 2_000_000;

/** When a canary as large as the batches that it vouches for is worth its bytes. Pure but for its two counts. */
export class CanaryBudget {
  #earned = freeBytes;
  #spent = 0;

  /** This many bytes were sent that need proof. */
  earn(bytes: number): void {
    this.#earned += bytes * share;
  }

  spend(bytes: number): void {
    this.#spent += bytes;
  }

  /** How long a canary of `bytes` has still to wait, where the first of those that it is for has waited `waitedMs`. */
  waitMs({
    bytes,
    waitingBytes,
    waitedMs,
  }: {
    bytes: number;
    waitingBytes: number;
    waitedMs: number;
  }): number {
    if (waitingBytes >= waitingBytesMax || this.#spent + bytes <= this.#earned) return 0;
    return Math.max(0, waitMsMax - waitedMs);
  }
}
