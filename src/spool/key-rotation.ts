import { describeError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import type { SpoolFile } from './state/spool-file.ts';
import { adopt, rekey, rotateKey } from './key-change.ts';
import type { KeyWrapper } from './sealing/keyring.ts';

/** A rotation that fails is tried again this much later; the old key seals as well meanwhile. */
const retryMs = 60_000;

/** Sees that no data key seals for longer than its period. */
export class Rotation {
  readonly #spoolFile: SpoolFile;
  readonly #periodMs: number;
  readonly #logger: Logger;
  #keys: KeyWrapper;
  #underWay: Promise<void> | undefined;
  #notBeforeMs = -Infinity;

  constructor(spoolFile: SpoolFile, keys: KeyWrapper, periodMs: number, logger: Logger) {
    this.#spoolFile = spoolFile;
    this.#keys = keys;
    this.#periodMs = periodMs;
    this.#logger = logger;
  }

  /** One at a time: a caller during a rotation waits for that rotation. */
  rotate(): Promise<void> {
    this.#underWay ??= rotateKey(this.#spoolFile, this.#keys).finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  /** Begins one where it is time to, and returns at once. */
  rotateWhenDue(): void {
    const { clock, keyring } = this.#spoolFile;
    const age = clock.wallMs() - keyring.current.since;
    // A key from the future was made while the clock was wrong, and would never grow old.
    const isDue = age >= this.#periodMs || age < 0;
    if (!isDue || this.#underWay !== undefined || clock.monotonicMs() < this.#notBeforeMs) return;
    this.#notBeforeMs = clock.monotonicMs() + retryMs;
    this.rotate().catch((error: unknown) => {
      this.#logger.warn('spool: the data key could not be changed', { reason: describeError(error) });
    });
  }

  /** At the opening: takes up another key-encryption key. Where the disk refuses, the next opening tries again. */
  async adopt(): Promise<void> {
    try {
      await adopt(this.#spoolFile, this.#keys);
    } catch (error) {
      this.#logger.warn('spool: the data keys could not be wrapped anew', { reason: describeError(error) });
    }
  }

  async rekey(newKeys: KeyWrapper): Promise<void> {
    await this.#underWay;
    await rekey(this.#spoolFile, newKeys);
    this.#keys = newKeys;
  }
}
