import type { Quality } from '../../reading/quality.ts';
import type { Sample } from '../../reading/sample.ts';
import type { DeviceStatus } from '../../reading/status.ts';
import type { Outcome, StrayKind } from '../modbus/client.ts';
import { isAboutTheRequest } from '../modbus/exception.ts';
import type { LineTiming } from '../modbus/line-timing.ts';
import type { ModbusDeviceOptions, ModbusPointOptions, SunSpecDiscovery } from '../options.ts';
import type { PlannedRequest } from '../plan/planner.ts';
import { SampleRecord } from '../sample-record.ts';
import { resolveSunSpec, type SunSpecWalk, startSunSpecWalk, stepSunSpecWalk } from '../profile/sunspec.ts';
import type { Contender } from './decision.ts';
import { type NextStep, PolledDevice } from './polled-device.ts';

/** What the bus needs of a device to poll it. */
export type BusDevice = Pick<
  PolledDevice,
  | 'options'
  | 'isDead'
  | 'dueAtMs'
  | 'reportAtMs'
  | 'contender'
  | 'next'
  | 'take'
  | 'offlineSample'
  | 'endPause'
  | 'countStray'
  | 'state'
  | 'status'
  | 'demand'
>;

type SunSpecOptions = ModbusDeviceOptions & { discover: SunSpecDiscovery };

/** A device without SunSpec is looked at again so often: it may refuse everything while it starts, or be swapped. */
const lookAgainMs = 10_000;

const stepName = 'sunspec';

/** The walk's next read as a device of one point, so that it is asked, paused and counted like any other. */
function stepPoint({ address }: SunSpecWalk & { kind: 'read' }, everyMs: number): ModbusPointOptions {
  const format = { table: 'holding', type: 'uint32', byteOrder: 'big', wordOrder: 'big' } as const;
  return { name: stepName, address, everyMs, ...format };
}

/** Whether it tells what stands at the address; an exception about its own state does not. */
function isAnswer(outcome: Outcome): boolean {
  return (
    outcome.kind === 'data' || (outcome.kind === 'exception' && isAboutTheRequest(outcome.exceptionCode))
  );
}

/**
 * A device that tells by SunSpec where its registers are: it is first walked, model by model, then polled. One
 * that was dead is walked again when it comes back, because another may have taken its place.
 */
export class SunSpecDevice implements BusDevice {
  readonly options: SunSpecOptions;
  readonly #timing: LineTiming;
  readonly #pipeline: number;
  #walk: SunSpecWalk;
  #device: PolledDevice;
  readonly #record: SampleRecord;
  /** Of the walk's steps so far, each of which was a device of its own. */
  #past: Pick<DeviceStatus, 'requests' | 'failures'> = { requests: 0, failures: {} };
  #reason: string | null = null;

  constructor(options: SunSpecOptions, timing: LineTiming, pipeline: number, now: number) {
    this.options = options;
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

  contender(deadShareEachMs: number): Contender | null {
    return this.#device.contender(deadShareEachMs);
  }

  next(deadShareEachMs: number, now: number, wallMs: number): NextStep {
    return this.#device.next(deadShareEachMs, now, wallMs);
  }

  take(request: PlannedRequest, outcome: Outcome, busMs: number, now: number, wallMs: number): Sample | null {
    const wasDead = this.isDead;
    const sample = this.#device.take(request, outcome, busMs, now, wallMs);
    // With another map it may refuse all that is asked of it.
    const isBack = wasDead && (!this.isDead || isAnswer(outcome));
    if (this.#walk.kind === 'found') {
      if (!isBack) return this.#give(sample);
      this.#walk = startSunSpecWalk(this.options.discover.bases);
      this.#become(this.#deviceOf(now, this.options.everyMs), now);
      return null;
    }
    if (!isAnswer(outcome)) return sample && this.#spread(sample);
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
      state: this.state,
      ...(this.#reason !== null && { reason: this.#reason }),
    };
  }

  #arrive(sample: Sample, now: number): Sample | null {
    const { models } = this.#walk as SunSpecWalk & { kind: 'found' };
    const points = resolveSunSpec(this.options.discover.points, models);
    if (points.length === 0) {
      const found = models.map(({ id }) => id).join(', ') || 'none';
      return this.#fail(sample, `it has the SunSpec models ${found}, and none of this profile`, now);
    }
    this.#reason = null;
    this.#record.forgetPoints();
    this.#become(new PolledDevice({ ...this.options, points }, this.#timing, this.#pipeline, now), now);
    return null;
  }

  #fail(sample: Sample, reason: string, now: number): Sample {
    this.#reason = reason;
    this.#walk = startSunSpecWalk(this.options.discover.bases);
    this.#become(this.#deviceOf(now + lookAgainMs, lookAgainMs), now);
    return this.#spread({ ...sample, quality: {} });
  }

  /** A device for the walk's next step, or of nothing where there is none. */
  #deviceOf(dueAt: number, everyMs: number): PolledDevice {
    const points = this.#walk.kind === 'read' ? [stepPoint(this.#walk, everyMs)] : [];
    return new PolledDevice({ ...this.options, points }, this.#timing, 1, dueAt);
  }

  #become(device: PolledDevice, now: number): void {
    const { requests, failures } = this.status(now);
    this.#past = { requests, failures };
    this.#device = device;
  }

  /** Why the walk's step has no value goes for every point that is looked for. */
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
