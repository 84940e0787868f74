import type { Cancel, Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import type { BatchRef } from '../../../spool/spool.ts';

export interface OversizeDependencies {
  clock: Clock;
  logger: Logger;
  /** These batches fit now: requeue them. */
  release: (refs: readonly BatchRef[]) => void;
  /** These batches were too large for a day. */
  reject: (refs: readonly BatchRef[], reason: string) => void;
  /** The first batch begins to wait, or the last one no longer waits. */
  report: (state: 'reached' | 'cleared', bytesMax: number) => void;
}

/** Time with a session after which a batch that is still too large is given up. */
export const givenUpMs = 86_400_000;
const checkMs = 600_000;

interface OversizeBatch {
  ref: BatchRef;
  bytes: number;
  sinceOnlineMs: number;
}

/**
 * Batches above the broker's size limit. They stay leased, so that others pass them, until the limit rises, or until
 * they have exceeded every limit of a whole day: a limit may be a mistake that lasts an hour. Each costs a few dozen
 * bytes of memory.
 */
export class Oversize {
  readonly #dependencies: OversizeDependencies;
  readonly #oversizeBatches = new Map<string, OversizeBatch>();
  #bytesMax = Infinity;
  /** Time with a session: without one the limit is unknown. */
  #onlineMs = 0;
  #onlineSinceMs: number | undefined;
  #cancelCheck: Cancel | undefined;

  constructor(dependencies: OversizeDependencies) {
    this.#dependencies = dependencies;
  }

  get count(): number {
    return this.#oversizeBatches.size;
  }

  sessionReady(): void {
    this.#onlineSinceMs ??= this.#dependencies.clock.monotonicMs();
  }

  sessionLost(): void {
    this.#onlineMs = this.#online();
    this.#onlineSinceMs = undefined;
  }

  /** `bytes` of the whole packet. */
  hold(id: string, ref: BatchRef, bytes: number): void {
    const { logger, report, release } = this.#dependencies;
    // The limit rose while this batch was in flight.
    if (bytes <= this.#bytesMax) return release([ref]);
    this.#oversizeBatches.set(id, { ref, bytes, sinceOnlineMs: this.#online() });
    if (this.#oversizeBatches.size > 1) return;
    this.#checkLater();
    logger.warn('batches are larger than the broker takes, and wait', { bytes, bytesMax: this.#bytesMax });
    report('reached', this.#bytesMax);
  }

  /** The broker's size limit now. */
  limit(bytesMax: number): void {
    this.#bytesMax = bytesMax;
    const fitting = this.#take(({ bytes }) => bytes <= bytesMax);
    if (fitting.length > 0) this.#dependencies.release(fitting);
  }

  close(): void {
    this.#cancelCheck?.();
  }

  #checkLater(): void {
    this.#cancelCheck?.();
    this.#cancelCheck = this.#dependencies.clock.after(checkMs, () => this.#check());
  }

  #check(): void {
    this.#checkLater();
    if (this.#onlineSinceMs === undefined) return;
    const onlineMs = this.#online();
    const givenUp = this.#take(({ sinceOnlineMs }) => onlineMs - sinceOnlineMs >= givenUpMs);
    const reason = `larger than the broker took for a day (${this.#bytesMax} bytes)`;
    if (givenUp.length > 0) this.#dependencies.reject(givenUp, reason);
  }

  #online(): number {
    if (this.#onlineSinceMs === undefined) return this.#onlineMs;
    return this.#onlineMs + this.#dependencies.clock.monotonicMs() - this.#onlineSinceMs;
  }

  #take(isWanted: (oversizeBatches: OversizeBatch) => boolean): BatchRef[] {
    const taken = [...this.#oversizeBatches].filter(([, oversizeBatches]) => isWanted(oversizeBatches));
    for (const [id] of taken) this.#oversizeBatches.delete(id);
    if (taken.length > 0 && this.#oversizeBatches.size === 0) this.#clear();
    return taken.map(([, { ref }]) => ref);
  }

  #clear(): void {
    this.#cancelCheck?.();
    this.#dependencies.logger.info('no batch is larger than the broker takes any more', {});
    this.#dependencies.report('cleared', this.#bytesMax);
  }
}
