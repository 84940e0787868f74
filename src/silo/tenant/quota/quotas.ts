import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/error.ts';
import type { Logger } from '../../../base/logger.ts';
import { readingsOf, type Sample } from '../../../reading/sample.ts';
import type { SiloUsage } from '../../../status/status.ts';
import type { Reach, SentCount, Spool } from '../../../spool/spool.ts';
import { Admission, type RefusalReason } from './sample-admission.ts';
import { type CpuLevel, govern } from './cpu-governor.ts';
import { DailyBytes } from './daily-bytes.ts';
import type { Journal } from '../journal.ts';
import type { LossCount } from '../../loss-count.ts';
import type { QuotaOptions } from '../../options.ts';
import type { QuotaEdges, QuotaEdge } from './quota-edges.ts';
import { RateMeter } from './rate-meter.ts';
import type { Timekeeper } from '../ingest/timekeeper.ts';

export interface QuotasDependencies {
  edges: QuotaEdges;
  clock: Clock;
  logger: Logger;
  spool: Pick<Spool, 'bytesInUse' | 'isShortOfDisk' | 'keepSent' | 'note' | 'sent' | 'status'>;
  journal: Journal;
  timekeeper: Timekeeper;
  losses: LossCount;
  /** This number of readings is dropped for good: as many more may follow. */
  settled: (readings: number) => void;
}

/**
 * A kill or a power cut loses less than this share of the quota from the day's count, mostly much less, since each
 * delivery also stores the count. It costs a hundred commits a day.
 */
const forgottenShareMax = 0.01;
/** Measurements come once a second; after this long without one, the gateway has stopped measuring. */
const usageStaleMs = 30_000;
/** Edges that wait for a failing disk: both edges of each quota. */
const untoldMax = 10;

/**
 * Enforces a silo's quotas: which samples are admitted, which batches may be sent, and what is reported. Samples over a
 * quota are dropped and counted; batches over it wait on disk.
 */
export class Quotas {
  readonly #deps: QuotasDependencies;
  readonly #cpuShareMax: number | undefined;
  readonly #bytesPerDay: number;
  readonly #admission: Admission;
  readonly #meter = new RateMeter();
  readonly #day: DailyBytes | undefined;
  #saved: SentCount;
  #level: CpuLevel = { at: 'free' };
  #measuredAtMs = -Infinity;
  #droppedBatches: number;
  #untold: QuotaEdge[] = [];

  constructor(options: QuotaOptions, deps: QuotasDependencies) {
    const { samplesPerSecond, uplinkBytesPerDay, cpuShare } = options;
    this.#deps = deps;
    this.#cpuShareMax = cpuShare;
    this.#bytesPerDay = uplinkBytesPerDay ?? Infinity;
    this.#admission = new Admission(samplesPerSecond, deps.clock.monotonicMs());
    this.#day =
      uplinkBytesPerDay === undefined ? undefined : new DailyBytes(uplinkBytesPerDay, deps.spool.sent);
    this.#saved = deps.spool.sent ?? { day: 0, bytes: 0 };
    this.#droppedBatches = deps.spool.status().dropped;
  }

  /** Returns the admitted samples; drops and counts the others. */
  admit(samples: readonly Sample[]): readonly Sample[] {
    const { edges, clock } = this.#deps;
    const nowMs = clock.monotonicMs();
    this.#meter.count(samples.length);
    const share = this.#level.at === 'thinning' ? this.#level.admit : 1;
    const { admitted, refused } = this.#admission.sort(samples, share, nowMs);
    for (const { reason, samples: dropped } of refused) {
      if (reason === 'quota') edges.hold('samples-per-second', nowMs);
      this.#drop(reason, dropped);
    }
    return admitted;
  }

  /** Which batches may be sent now. */
  reach(): Reach | 'none' {
    this.#turnDay();
    const reach = this.#day?.reach() ?? 'all';
    return reach === 'all' && this.#level.at !== 'free' ? 'live' : reach;
  }

  /** Whether events and checkpoints may be sent now. */
  takesEvidence(): boolean {
    this.#turnDay();
    return this.#day?.takesEvidence() ?? true;
  }

  /** Counts bytes that are sent. */
  sent(bytes: number): void {
    if (this.#day === undefined) return;
    this.#turnDay();
    this.#day.spend(bytes);
    const { count } = this.#day;
    const forgotten = count.day === this.#saved.day ? count.bytes - this.#saved.bytes : Infinity;
    this.#keep(count, forgotten < forgottenShareMax * this.#bytesPerDay ? 'along' : 'now');
  }

  /** The spool had no room for a batch. */
  refused(): void {
    if (!this.#deps.spool.isShortOfDisk) this.#deps.edges.hold('spool-bytes', this.#deps.clock.monotonicMs());
  }

  observe({ cpuShare }: SiloUsage): void {
    const { edges, clock, logger } = this.#deps;
    edges.use('cpu-share', cpuShare);
    if (this.#cpuShareMax === undefined) return;
    const before = this.#level;
    this.#measuredAtMs = clock.monotonicMs();
    this.#level = govern(before, cpuShare, this.#cpuShareMax, this.#measuredAtMs);
    if (this.#level.at !== before.at) logger.info('share of CPU', { level: this.#level.at, cpuShare });
  }

  /** Once a second: updates all quotas, and reports those that were reached or are clear again. */
  tick(): void {
    const { edges, clock, spool } = this.#deps;
    const nowMs = clock.monotonicMs();
    this.#meter.turn();
    edges.use('samples-per-second', this.#meter.perSecond);
    if (nowMs - this.#measuredAtMs > usageStaleMs) this.#level = { at: 'free' };
    edges.stand('cpu-share', this.#level.at !== 'free');
    this.#turnDay();
    edges.use('uplink-bytes-per-day', this.#day?.count.bytes ?? 0);
    edges.stand('uplink-bytes-per-day', this.#day?.reach() === 'none');
    edges.use('spool-bytes', spool.bytesInUse());
    const { dropped } = spool.status();
    if (dropped > this.#droppedBatches && !spool.isShortOfDisk) edges.hold('spool-bytes', nowMs);
    this.#droppedBatches = dropped;
    this.#untold = [...this.#untold, ...edges.review(nowMs)].slice(-untoldMax);
    this.#tell();
  }

  /** Saves the day's count. */
  close(): void {
    if (this.#day !== undefined) this.#keep(this.#day.count, 'now');
  }

  #turnDay(): void {
    const { clock, timekeeper } = this.#deps;
    this.#day?.turn(clock.wallMs(), timekeeper.mode === 'good');
  }

  #drop(reason: RefusalReason, samples: readonly Sample[]): void {
    const { losses, settled } = this.#deps;
    const times = [samples[0]!.wallMs, samples.at(-1)!.wallMs];
    losses.add({ reason, samples: samples.length, from: Math.min(...times), to: Math.max(...times) });
    settled(samples.reduce((sum, sample) => sum + readingsOf(sample), 0));
  }

  /** Stores the day's count; if the disk fails, the count goes on in memory and the next step tries again. */
  #keep(count: SentCount, when: 'along' | 'now'): void {
    const { spool, logger } = this.#deps;
    if (when === 'now') this.#saved = count;
    try {
      spool.keepSent(count, when);
    } catch (error) {
      logger.warn("the day's count is not saved", { reason: describeError(error) });
    }
  }

  #tell(): void {
    const { spool, journal, logger } = this.#deps;
    for (let edge = this.#untold[0]; edge !== undefined; edge = this.#untold[0]) {
      try {
        spool.note({ kind: 'quota', ...edge });
      } catch (error) {
        logger.error('a quota event is not stored yet', { ...edge, reason: describeError(error) });
        return;
      }
      journal.record('quota', edge);
      logger.warn('quota', { ...edge });
      this.#untold.shift();
    }
  }
}
