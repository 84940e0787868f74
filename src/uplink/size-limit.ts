/** A size that did not pass is tried again after this, and each time after twice as long, up to `retryMaxMs`. */
const retryMs = 600_000;
const retryMaxMs = 4 * 3_600_000;
/** In a new session sooner: who restarts a broker may have changed its limit. */
const retryInNewSessionMs = 60_000;
/** A broker that hangs up so often in a row on messages of one size, and on none that is smaller, means the size. */
const hangUpsMax = 2;

/**
 * How large a message may be, in bytes of the whole MQTT packet, as far as the broker has said or shown it: by its
 * CONNACK, by what it refused as too large, by what it acknowledged and threw away, by hanging up. What it has shown
 * outlives the session and is tried again from time to time. Pure but for its state.
 */
export class SizeLimit {
  #announced = Infinity;
  /** The smallest that did not pass. */
  #failed = Infinity;
  #failedAtMs = -Infinity;
  #retryAtMs = Infinity;
  /** The last session ended over a size: then a new one is no sign of anything. */
  #endedOverSize = false;
  #pauseMs = retryMs;
  /** The largest that has passed, of those smaller than `#failed`. */
  #passed = 0;
  #hangUps = { bytes: Infinity, count: 0 };

  /** A new session, whose CONNACK named `announced`, or no limit. */
  begin(announced: number | undefined): void {
    this.#announced = announced ?? Infinity;
    const soonMs = this.#failedAtMs + retryInNewSessionMs;
    if (this.#failed !== Infinity && !this.#endedOverSize)
      this.#retryAtMs = Math.min(this.#retryAtMs, soonMs);
    this.#endedOverSize = false;
  }

  passed(bytes: number): void {
    this.#passed = Math.max(this.#passed, bytes);
    if (bytes >= this.#hangUps.bytes) this.#hangUps = { bytes: Infinity, count: 0 };
    if (bytes < this.#failed) return;
    this.#failed = Infinity;
    this.#retryAtMs = Infinity;
    this.#pauseMs = retryMs;
  }

  failed(bytes: number, nowMs: number): void {
    if (bytes >= this.#failed) {
      // The same again: it was a retry.
      if (nowMs < this.#retryAtMs) return;
      this.#pauseMs = Math.min(this.#pauseMs * 2, retryMaxMs);
    }
    this.#failed = Math.min(this.#failed, bytes);
    this.#failedAtMs = nowMs;
    this.#retryAtMs = nowMs + this.#pauseMs;
    // The limit has been lowered: what passed before says nothing any more.
    if (this.#passed >= this.#failed) this.#passed = 0;
  }

  /** The broker hung up while a message of this size was on its way, and none so large had passed before. */
  hungUp(bytes: number, nowMs: number): void {
    if (bytes >= this.#failed) {
      this.#endedOverSize = true;
      return this.failed(bytes, nowMs);
    }
    // It may be a broker that is stopped: what follows from it is tried again soon.
    this.#hangUps = { bytes: Math.min(bytes, this.#hangUps.bytes), count: this.#hangUps.count + 1 };
    if (this.#hangUps.count < hangUpsMax) return;
    const { bytes: suspect } = this.#hangUps;
    this.#hangUps = { bytes: Infinity, count: 0 };
    this.failed(suspect, nowMs);
  }

  /** What may be sent; Infinity where no limit is known. */
  get bytesMax(): number {
    return Math.min(this.#announced, this.#failed - 1);
  }

  /** What new batches should keep to: a size that has passed, or half of one that has not. */
  get batchBytesMax(): number {
    if (this.#failed === Infinity) return this.#announced;
    const half = Math.floor(this.#failed / 2);
    return Math.min(this.#announced, Math.max(this.#passed, half));
  }

  /** The size to be tried again now; undefined where it is not time to, or nothing has failed. */
  dueRetry(nowMs: number): number | undefined {
    return this.#failed !== Infinity && nowMs >= this.#retryAtMs ? this.#failed : undefined;
  }
}
