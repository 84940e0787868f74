import { TokenBucket } from '../../../base/token-bucket.ts';
import type { Quality } from '../../../reading/quality.ts';
import type { Sample } from '../../../reading/sample.ts';
import type { DeviceStatus, IdentityCheckStatus } from '../../../status/status.ts';
import type { Outcome, StrayKind } from '../modbus-client.ts';
import { isAboutTheRequest } from '../exception.ts';
import type { LineTiming } from '../line-timing.ts';
import type { ModbusDeviceOptions, ModbusPointOptions, SunSpecDiscovery } from '../../options.ts';
import type { PlannedRequest } from '../planning/planner.ts';
import { SampleRecord } from '../../sample-record.ts';
import {
  resolveSunSpec,
  type SunSpecModel,
  type SunSpecWalk,
  startSunSpecWalk,
  stepSunSpecWalk,
} from './sunspec-walk.ts';
import type { BusDevice } from './bus-device.ts';
import { type Candidate, notBefore } from './scheduler.ts';
import { type NextStep, PolledDevice } from './polled-device.ts';

type SunSpecOptions = ModbusDeviceOptions & { discover: SunSpecDiscovery };

/**
 * A device without SunSpec is walked again after this long: it may refuse everything while it starts, or be swapped.
 */
const checkAgainMs = 10_000;

/** A connection that its peer closes after every answer must not be walked on again and again. */
const reconnects = { burst: 3, perSecond: 1 / 600 };

const stepName = 'sunspec';

/** The walk's next read as a device of one point, so that it is polled, paused and counted like any other. */
function stepPoint({ address }: SunSpecWalk & { kind: 'read' }, everyMs: number): ModbusPointOptions {
  const format = { table: 'holding', type: 'uint32', byteOrder: 'big', wordOrder: 'big' } as const;
  return { name: stepName, address, everyMs, ...format };
}

/** Whether the answer tells what is at the address; an exception about the device's own state does not. */
function isAnswer(outcome: Outcome): boolean {
  return (
    outcome.kind === 'data' ||
    (outcome.kind === 'exception' && isAboutTheRequest(outcome.exceptionCode) && outcome.isDoubtful !== true)
  );
}

/**
 * A device that reports its registers by SunSpec: it is first walked, model by model, then polled. After it was dead,
 * or its line broke, it is walked again, because another may have taken its place.
 */
export class SunSpecDevice implements BusDevice {
  readonly options: SunSpecOptions;
  readonly #timing: LineTiming;
  readonly #pipeline: number;
  #walk: SunSpecWalk;
  #device: PolledDevice;
  readonly #record: SampleRecord;
  /** Statistics of the walk's steps so far, each of which was a device of its own. */
  #past: Pick<DeviceStatus, 'requests' | 'failures'> = { requests: 0, failures: {} };
  #reason: string | null = null;
  /** Each step of the walk is a device of its own, and does not know when the last one was asked. */
  #restsUntilMs = 0;
  #identity: IdentityCheckStatus = { state: 'unchecked', reason: null };
  readonly #onIdentity: (identity: IdentityCheckStatus) => void;
  readonly #reconnects: TokenBucket;
  #wasLost = false;
  /** The walk has read data, even if not the marker: its result comes from the device itself. */
  #hasRead = false;

  constructor(
    options: SunSpecOptions,
    timing: LineTiming,
    pipeline: number,
    now: number,
    onIdentity: (identity: IdentityCheckStatus) => void,
  ) {
    this.options = options;
    this.#onIdentity = onIdentity;
    this.#reconnects = new TokenBucket(reconnects, now);
    if (options.identify === 'off') this.#identity = { state: 'off', reason: null };
    this.#timing = timing;
    this.#pipeline = pipeline;
    this.#walk = startSunSpecWalk(options.discover.bases);
    this.#record = new SampleRecord(now);
    this.#device = this.#deviceOf(now, options.everyMs);
  }

  get isDead(): boolean {
    return this.#device.isDead;
  }

  get dueAtMs(): number {
    return this.#device.dueAtMs;
  }

  get reportAtMs(): number {
    return this.#device.reportAtMs;
  }

  candidate(deadShareEachMs: number, holdMs = 0): Candidate | null {
    return notBefore(this.#restsUntilMs, this.#device.candidate(deadShareEachMs, holdMs));
  }

  next(deadShareEachMs: number, now: number, wallMs: number): NextStep {
    return this.#device.next(deadShareEachMs, now, wallMs);
  }

  take(request: PlannedRequest, outcome: Outcome, busMs: number, now: number, wallMs: number): Sample | null {
    this.#restsUntilMs = now + this.options.limits.requestGapMs;
    const wasDead = this.isDead;
    const sample = this.#device.take(request, outcome, busMs, now, wallMs);
    // With another map it may refuse every request.
    const isBack = wasDead && (!this.isDead || isAnswer(outcome));
    if (this.#walk.kind === 'found') {
      // Until its poll is over, answers to its other requests are on their way.
      const isSuspect = sample !== null && isAnswer(outcome) && this.#wasLost;
      const isOther = isBack || (isSuspect && this.#reconnects.take(1, now));
      if (!isOther) return this.#give(sample);
      this.#wasLost = false;
      this.#restart();
      this.#become(this.#deviceOf(now, this.options.everyMs), now);
      return null;
    }
    if (!isAnswer(outcome)) return sample && this.#spread(sample);
    this.#hasRead ||= outcome.kind === 'data';
    this.#walk = stepSunSpecWalk(this.#walk, outcome.kind === 'data' ? outcome.data : null);
    if (this.#walk.kind === 'read') {
      this.#become(this.#deviceOf(now, this.options.everyMs), now);
      return null;
    }
    const told = sample ?? { device: this.options.name, wallMs, monotonicMs: now, values: {} };
    return this.#walk.kind === 'found' ? this.#arrive(told, now) : this.#fail(told, this.#walk.reason, now);
  }

  offlineSample(reason: string | null, now: number, wallMs: number): Sample | null {
    const sample = this.#device.offlineSample(reason, now, wallMs);
    return sample === null || this.#walk.kind === 'found' ? this.#give(sample) : this.#spread(sample);
  }

  endPause(): void {
    this.#device.endPause();
  }

  endAbsence(): void {
    this.#device.endAbsence();
  }

  countStray(kind: StrayKind): void {
    this.#device.countStray(kind);
  }

  get state(): DeviceStatus['state'] {
    return this.#reason === null ? this.#device.state : 'failing';
  }

  demand(now: number): number {
    return this.#device.demand(now);
  }

  status(now: number): DeviceStatus {
    const status = this.#device.status(now);
    const failures = { ...this.#past.failures };
    for (const [kind, count] of Object.entries(status.failures))
      failures[kind] = (failures[kind] ?? 0) + count;
    return {
      ...status,
      failures,
      requests: status.requests + this.#past.requests,
      ...this.#record.status(now),
      ...(this.#walk.kind !== 'found' && { everyMs: this.options.everyMs }),
      identity: this.#identity,
      state: this.state,
      ...(this.#reason !== null && { reason: this.#reason }),
    };
  }

  #arrive(sample: Sample, now: number): Sample | null {
    const { models } = this.#walk as SunSpecWalk & { kind: 'found' };
    const points = resolveSunSpec(this.options.discover.points, models);
    const { identify, discover } = this.options;
    if (points.length === 0 || (identify !== 'off' && !hasOwnModel(discover.points, models))) {
      const found = models.map(({ id }) => id).join(', ') || 'none';
      return this.#fail(sample, `it has the SunSpec models ${found}, and none of this profile`, now);
    }
    this.#reason = null;
    this.#identify({ state: 'confirmed', reason: null });
    this.#record.forgetPoints();
    this.#become(new PolledDevice({ ...this.options, points }, this.#timing, this.#pipeline, now), now);
    return null;
  }

  #fail(sample: Sample, reason: string, now: number): Sample {
    this.#reason = reason;
    this.#identify(this.#hasRead ? { state: 'contradicted', reason } : { state: 'unchecked', reason: null });
    this.#restart();
    this.#become(this.#deviceOf(now + checkAgainMs, checkAgainMs), now);
    return this.#spread({ ...sample, quality: {} });
  }

  #restart(): void {
    this.#walk = startSunSpecWalk(this.options.discover.bases);
    this.#hasRead = false;
  }

  #identify(identity: IdentityCheckStatus): void {
    if (this.options.identify === 'off') return;
    const before = this.#identity;
    this.#identity = identity;
    if (identity.state !== before.state) this.#onIdentity(identity);
  }

  /** A device for the walk's next step; without points after the last step. */
  #deviceOf(dueAt: number, everyMs: number): PolledDevice {
    const points = this.#walk.kind === 'read' ? [stepPoint(this.#walk, everyMs)] : [];
    return new PolledDevice({ ...this.options, points }, this.#timing, 1, dueAt);
  }

  #become(device: PolledDevice, now: number): void {
    const { requests, failures } = this.status(now);
    this.#past = { requests, failures };
    this.#device = device;
  }

  /** The quality of a failed step of the walk applies to every point. */
  #spread(sample: Sample): Sample {
    const why = sample.quality?.[stepName] ?? 'invalid';
    const points = this.options.discover.points.filter(({ internal }) => !internal);
    const quality: Record<string, Quality> = Object.fromEntries(points.map(({ name }) => [name, why]));
    return this.#give({ ...sample, values: {}, quality });
  }

  #give<Given extends Sample | null>(sample: Given): Given {
    if (sample !== null) this.#record.take(sample);
    return sample;
  }
}

/** Every SunSpec device has this one. */
const commonModel = 1;

/** Whether the device has a model of the points, other than the common one. */
function hasOwnModel(points: SunSpecDiscovery['points'], models: readonly SunSpecModel[]): boolean {
  const own = points.flatMap((point) => point.models).filter((id) => id !== commonModel);
  return own.length === 0 || models.some(({ id }) => own.includes(id));
}
