import { TokenBucket } from '../../../base/token-bucket.ts';
import type { Quality } from '../../../reading/quality.ts';
import type { Sample } from '../../../reading/sample.ts';
import type { DeviceStatus, IdentityCheckStatus } from '../../../status/status.ts';
import type { Outcome, StrayKind } from '../modbus-client.ts';
import { isOfTheGateway } from '../exception.ts';
import { requestOf } from '../identity-check.ts';
import type { IdentityCheck, ModbusDeviceOptions, RequestLimits } from '../../options.ts';
import type { PlannedRequest } from '../planning/planner.ts';
import { SampleRecord } from '../../sample-record.ts';
import type { BusDevice } from './bus-device.ts';
import { type Candidate, notBefore } from './scheduler.ts';
import { Inquiry } from './identity-inquiry.ts';
import type { NextStep } from './polled-device.ts';

/** A connection that its peer closes after every answer must not double the requests. */
const reconnects = { burst: 5, perSecond: 1 / 60 };

/** The points that an identity question reads. */
const nothing: PlannedRequest = { table: 'holding', address: 0, quantity: 0, items: [] };

/**
 * A device whose identity is checked when it first answers, and when another may have taken its place. The sample
 * of that poll waits for the result, so that no value of another device ever counts as good. A device that never
 * answered is not asked: the check costs only devices that are present.
 */
export class IdentifiedDevice implements BusDevice {
  readonly options: ModbusDeviceOptions;
  readonly #device: BusDevice;
  readonly #inquiry: Inquiry;
  readonly #onChange: (identity: IdentityCheckStatus) => void;
  readonly #record: SampleRecord;
  readonly #reconnects: TokenBucket;
  /** Waits for the result of the identity check. */
  #held: { sample: Sample; sinceMs: number } | null = null;
  #isAsked = false;
  #restsUntilMs = 0;
  /** The device itself has answered the current poll. */
  #isHeard = false;
  #wasLost = false;
  #questions = 0;
  #implausible = 0;

  constructor(
    device: BusDevice,
    checks: readonly IdentityCheck[],
    now: number,
    onChange: (identity: IdentityCheckStatus) => void,
  ) {
    this.options = device.options;
    this.#device = device;
    this.#inquiry = new Inquiry(checks.filter((check) => isWithin(check, device.options.limits)));
    this.#record = new SampleRecord(now);
    this.#reconnects = new TokenBucket(reconnects, now);
    this.#onChange = onChange;
  }

  get isDead(): boolean {
    return this.#device.isDead;
  }

  get dueAtMs(): number {
    return this.#device.dueAtMs;
  }

  get reportAtMs(): number {
    if (this.#held === null) return this.#device.reportAtMs;
    return this.#isAsked ? Infinity : this.#held.sinceMs;
  }

  candidate(deadShareEachMs: number, holdMs = 0): Candidate | null {
    if (this.#held === null) {
      return notBefore(this.#restsUntilMs, this.#device.candidate(deadShareEachMs, holdMs));
    }
    if (this.#isAsked) return null;
    const { silo } = this.options;
    const { sinceMs } = this.#held;
    const readyAtMs = this.#restsUntilMs;
    return { silo, dead: false, begun: true, readyAtMs, deadlineMs: sinceMs, costMs: 0 };
  }

  next(deadShareEachMs: number, now: number, wallMs: number): NextStep {
    const { question } = this.#inquiry;
    if (this.#held === null || question === null) {
      const step = this.#device.next(deadShareEachMs, now, wallMs);
      return step.kind === 'tell' ? { ...step, sample: this.#give(step.sample) } : step;
    }
    this.#isAsked = true;
    this.#questions += 1;
    const { unitId, responseTimeoutMs } = this.options;
    const transaction = { unitId, request: requestOf(question), timeoutMs: responseTimeoutMs };
    return { kind: 'ask', transaction, request: nothing, dead: false };
  }

  take(request: PlannedRequest, outcome: Outcome, busMs: number, now: number, wallMs: number): Sample | null {
    this.#restsUntilMs = now + this.options.limits.requestGapMs;
    if (this.#isAsked) return this.#learn(outcome, now);
    const wasDead = this.isDead;
    const sample = this.#device.take(request, outcome, busMs, now, wallMs);
    this.#isHeard ||= isFromDevice(outcome);
    if (wasDead && !this.isDead) this.#inquiry.suspect();
    if (sample === null) return null;
    const isHeard = this.#isHeard;
    this.#isHeard = false;
    if (!isHeard || this.isDead) return this.#give(sample);
    if (this.#wasLost && this.#reconnects.take(1, now)) {
      this.#wasLost = false;
      this.#inquiry.suspect();
    }
    if (!this.#inquiry.begin(now)) return this.#give(sample);
    this.#held = { sample, sinceMs: now };
    return null;
  }

  offlineSample(reason: string | null, now: number, wallMs: number): Sample | null {
    if (this.#held !== null) return this.#isAsked ? null : this.#release();
    const sample = this.#device.offlineSample(reason, now, wallMs);
    return sample === null ? null : this.#give(sample);
  }

  endPause(): void {
    this.#device.endPause();
  }

  lost(): void {
    this.#wasLost = true;
    this.#device.lost?.();
  }

  endAbsence(): void {
    this.#device.endAbsence();
  }

  countStray(kind: StrayKind): void {
    this.#device.countStray(kind);
  }

  demand(now: number): number {
    return this.#device.demand(now);
  }

  get state(): DeviceStatus['state'] {
    const { state } = this.#device;
    return this.#inquiry.isContradicted && state === 'good' ? 'partial' : state;
  }

  status(now: number): DeviceStatus {
    const status = this.#device.status(now);
    const implausible = (status.failures['implausible'] ?? 0) + this.#implausible;
    return {
      ...status,
      ...this.#record.status(now),
      state: this.state,
      reason: this.#reason() ?? status.reason,
      requests: status.requests + this.#questions,
      failures: implausible > 0 ? { ...status.failures, implausible } : status.failures,
      identity: this.#inquiry.status,
    };
  }

  /** Undefined if the device does not contradict its profile, or the sample has no values. */
  #reason(): string | undefined {
    const { state, reason } = this.#inquiry.status;
    if (state !== 'contradicted' || this.state !== 'partial') return undefined;
    const { profile = 'its profile' } = this.options;
    return `it is not what ${profile} is for: ${reason}; compare unitId, wiring and profile, or write identify: off`;
  }

  #learn(outcome: Outcome, now: number): Sample | null {
    this.#isAsked = false;
    const before = this.#inquiry.status;
    this.#inquiry.take(outcome, now);
    const { status } = this.#inquiry;
    if (status.state !== before.state || status.reason !== before.reason) this.#onChange(status);
    return this.#inquiry.question === null ? this.#release() : null;
  }

  #release(): Sample {
    const { sample } = this.#held!;
    this.#held = null;
    this.#inquiry.abandon();
    return this.#give(sample);
  }

  /** All values of a device that contradicts its profile are implausible. */
  #give(sample: Sample): Sample {
    const given = this.#inquiry.isContradicted ? this.#doubted(sample) : sample;
    this.#record.take(given);
    return given;
  }

  #doubted(sample: Sample): Sample {
    const quality: Record<string, Quality> = { ...sample.quality };
    for (const name of Object.keys(sample.values)) {
      if (quality[name] === undefined) this.#implausible += 1;
      quality[name] = 'implausible';
    }
    return Object.keys(quality).length === 0 ? sample : { ...sample, quality };
  }
}

/** Identity questions, too, keep to the limits of the device. */
function isWithin(check: IdentityCheck, { registersMax }: RequestLimits): boolean {
  const request = requestOf(check);
  return !('quantity' in request) || request.quantity <= registersMax;
}

/** A gateway's exception about a unit that it can't reach does not come from the device. */
function isFromDevice(outcome: Outcome): boolean {
  return outcome.kind === 'exception' ? !isOfTheGateway(outcome.exceptionCode) : outcome.kind === 'data';
}
