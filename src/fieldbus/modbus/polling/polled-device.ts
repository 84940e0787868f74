import { formatDuration } from '../../../base/quantity.ts';
import type { Quality } from '../../../reading/quality.ts';
import { describeOutliers } from '../../../reading/range.ts';
import type { Sample, Value } from '../../../reading/sample.ts';
import { blankDevice, type DeviceStatus } from '../../../status/status.ts';
import type { Exception, Fault, Outcome, StrayKind, Transaction } from '../modbus-client.ts';
import { describeException, isAboutTheRequest, isOfTheGateway } from '../exception.ts';
import type { LineTiming } from '../line-timing.ts';
import { functionCodes } from '../pdu.ts';
import type { ModbusDeviceOptions } from '../../options.ts';
import { PlanCache } from '../planning/plan-cache.ts';
import { itemsOf, type PlanItem, type PlannedRequest } from '../planning/planner.ts';
import { SampleRecord } from '../../sample-record.ts';
import type { Candidate } from './scheduler.ts';
import { Health } from './device-health.ts';
import { SlidingMinute } from '../../sharing/sliding-minute.ts';
import { Poll, PollReader } from './poll.ts';
import { Timetable } from './timetable.ts';

export type NextStep =
  | { kind: 'ask'; transaction: Transaction; request: PlannedRequest; dead: boolean }
  /** All that is due is known to be refused: there is no request to send. */
  | { kind: 'tell'; sample: Sample };

/** One Modbus device: its due points, its health and its statistics. No I/O and no clock of its own. */
export class PolledDevice {
  readonly options: ModbusDeviceOptions;
  readonly #pipeline: number;
  readonly #items: readonly PlanItem[];
  readonly #timetable: Timetable;
  readonly #plans: PlanCache;
  readonly #reader: PollReader;
  readonly #health: Health;
  readonly #status: DeviceStatus;
  readonly #record: SampleRecord;
  readonly #lateness: SlidingMinute;
  readonly #busTime: SlidingMinute;
  /** Bus time that its polls would have taken if none had been skipped. */
  readonly #demand: SlidingMinute;
  /** How many due polls the current one replaces. */
  #turns = 1;
  #poll: Poll | null = null;
  #isAnchored = false;
  /** No data has come since it was last offline. */
  #wasAway = false;
  /** Earliest next request by the device's limits. */
  #restsUntilMs = 0;
  /** Answers with data since the start. */
  #answers = 0;
  /** Tries while it was dead, since the start. */
  #tries = 0;
  /** The point that it last gave a value for. */
  #lastGood: PlanItem | null = null;

  constructor(options: ModbusDeviceOptions, timing: LineTiming, pipeline: number, now: number) {
    const { name, silo, points, limits } = options;
    const items = itemsOf(points);
    this.options = options;
    this.#pipeline = pipeline;
    this.#items = items;
    this.#timetable = new Timetable(items, now);
    this.#plans = new PlanCache(limits, timing);
    this.#reader = new PollReader(items);
    this.#health = new Health(options.responseTimeoutMs);
    this.#lateness = new SlidingMinute(now);
    this.#busTime = new SlidingMinute(now);
    this.#demand = new SlidingMinute(now);
    const { everyMs } = this.#timetable;
    this.#status = blankDevice(name, silo, Number.isFinite(everyMs) ? everyMs : options.everyMs);
    if (options.identify === 'off') this.#status.identity = { state: 'off', reason: null };
    this.#record = new SampleRecord(now);
  }

  get isDead(): boolean {
    return this.#health.isDead;
  }

  /** When its next points are due. */
  get dueAtMs(): number {
    return this.#timetable.dueAtMs;
  }

  /** When points are due that would be reported offline; never while a request is in flight. */
  get reportAtMs(): number {
    return this.#poll && this.#poll.inFlight > 0 ? Infinity : this.dueAtMs;
  }

  get state(): DeviceStatus['state'] {
    return this.#status.state;
  }

  status(now: number): DeviceStatus {
    const { answerMs } = this.#health;
    return {
      ...this.#status,
      ...this.#record.status(now),
      failures: { ...this.#status.failures },
      answerMs: answerMs === null ? null : Math.round(answerMs * 10) / 10,
      latenessMs: Math.round(this.#lateness.max(now)),
      usualLatenessMs: Math.round(this.#lateness.mean(now)),
      busShare: this.#busTime.share(now),
    };
  }

  /** Share of bus time that its polls would take if none was skipped; above 1 they never fit. */
  demand(now: number): number {
    return this.#demand.ratio(now);
  }

  /**
   * Its candidate for the scheduler; null while it has as many requests in flight as it may. `holdMs`: how long an
   * unanswered request blocks the bus.
   */
  candidate(deadShareEachMs: number, holdMs = 0): Candidate | null {
    const poll = this.#poll;
    const { isDead, dueAtMs } = this;
    if (poll && (poll.pending.length === 0 || poll.inFlight >= (isDead ? 1 : this.#pipeline))) return null;
    const readyAtMs = poll ? 0 : isDead ? this.#health.pausedUntilMs : dueAtMs;
    return {
      silo: this.options.silo,
      dead: isDead,
      begun: poll !== null,
      readyAtMs: Math.max(readyAtMs, this.#restsUntilMs),
      deadlineMs: poll ? poll.deadlineMs : dueAtMs + this.#timetable.everyMs,
      costMs: isDead ? Math.max(this.#health.tryMs(deadShareEachMs), holdMs) : 0,
    };
  }

  /** The next request; starts a new poll if none is in progress. */
  next(deadShareEachMs: number, now: number, wallMs: number): NextStep {
    const poll = (this.#poll ??= this.#begin(now));
    const request = poll.pending.shift();
    if (request === undefined) return { kind: 'tell', sample: this.#tell(poll, now, wallMs) };
    poll.inFlight += 1;
    this.#status.requests += 1;
    const { unitId, responseTimeoutMs } = this.options;
    const dead = this.isDead;
    const timeoutMs = dead ? this.#health.tryMs(deadShareEachMs) : responseTimeoutMs;
    const { table, address, quantity } = request;
    const asked = { functionCode: functionCodes[table], address, quantity };
    return { kind: 'ask', transaction: { unitId, request: asked, timeoutMs }, request, dead };
  }

  /** Takes the result of a request; returns the poll's sample if that was its last. */
  take(request: PlannedRequest, outcome: Outcome, busMs: number, now: number, wallMs: number): Sample | null {
    const poll = this.#poll!;
    poll.inFlight -= 1;
    this.#busTime.add(busMs, now);
    this.#demand.add(busMs * this.#turns, now);
    this.#restsUntilMs = now + this.options.limits.requestGapMs;
    switch (outcome.kind) {
      case 'data':
        this.#answered(poll, request, outcome.answerMs);
        this.#reader.read(poll, request, outcome.data);
        break;
      case 'exception':
        if (!isOfTheGateway(outcome.exceptionCode)) this.#measured(outcome.answerMs);
        this.#refused(poll, request, outcome, now);
        break;
      case 'fault':
        this.#failed(poll, request, outcome, now);
        break;
      case 'offline':
        poll.abandon(request, 'offline');
        this.#status.reason = outcome.reason;
    }
    return poll.isDone ? this.#finish(poll, now, wallMs) : null;
  }

  /** The sample of due points of a device that can't be asked; `reason`: why, if the port is lost. */
  offlineSample(reason: string | null, now: number, wallMs: number): Sample | null {
    if (this.reportAtMs > now) return null;
    const poll = this.#poll ?? new Poll(this.#timetable.take(now), [], now);
    poll.mark(poll.items, reason === null && this.isDead ? this.#health.lastWord : 'offline');
    if (reason !== null) this.#status.reason = reason;
    return this.#tell(poll, now, wallMs);
  }

  /** The port is back: dead devices may be back, too. */
  endPause(): void {
    this.#health.endPause();
  }

  /** It gave data, even if too late: it is alive. */
  endAbsence(): void {
    this.#health.lived();
  }

  countStray(kind: StrayKind): void {
    this.#count(kind);
  }

  #begin(now: number): Poll {
    // Anchored at the first free time of the bus, so that devices of one interval don't come due all at once.
    if (!this.#isAnchored) this.#timetable.anchor(now);
    this.#isAnchored = true;
    if (!this.isDead) this.#lateness.add(Math.max(0, now - this.dueAtMs), now);
    // A dead device is asked with pauses, and its skipped polls cost the bus nothing.
    this.#turns = this.isDead ? 1 : 1 + this.#timetable.missed(now);
    const due = this.#timetable.take(now);
    const items = due.length > 0 ? due : this.#timetable.fastest;
    const poll = new Poll(items, this.#plans.plan(items, now), Math.max(now, this.dueAtMs));
    for (const { item, quality } of this.#plans.badAmong(items)) poll.mark([item], quality);
    if (this.isDead) this.#probe(poll);
    return poll;
  }

  /**
   * Every other try of a dead device asks for a single point: in turn for the one that it gave last and for one of
   * all. So a device that refuses its usual requests because of one register, or a missing table, shows that it is
   * alive.
   */
  #probe(poll: Poll): void {
    const turn = this.#tries;
    this.#tries += 1;
    const [first] = poll.pending;
    if (turn % 2 === 0 || first === undefined) return;
    const known = this.#lastGood;
    const inTurn = this.#items[(turn >> (known === null ? 1 : 2)) % this.#items.length]!;
    const item = known !== null && turn % 4 === 1 ? known : inTurn;
    if (first.items.length === 1 && first.items[0] === item) return;
    poll.rest = poll.pending;
    poll.pending = [
      { table: item.table, address: item.start, quantity: item.end - item.start, items: [item] },
    ];
  }

  #answered(poll: Poll, request: PlannedRequest, answerMs: number): void {
    poll.hasData = true;
    poll.isProbed ||= poll.rest.length > 0;
    poll.pending.push(...poll.rest.splice(0));
    // Another device may have taken its place, or the same one may have more registers than before.
    if (this.#wasAway) this.#plans.forget();
    this.#wasAway = false;
    this.#health.lived();
    this.#answers += 1;
    this.#lastGood = request.items[0] ?? null;
    this.#measured(answerMs);
    this.#plans.answered(request);
  }

  #measured(answerMs: number): void {
    this.#health.measured(answerMs);
    this.#plans.answerMs = this.#health.answerMs ?? answerMs;
  }

  /**
   * The parts of a refused request are asked for at once, so that this poll still has the good ones. The others count
   * as bad only once the poll has brought data: see `#finish`.
   */
  #refused(poll: Poll, request: PlannedRequest, outcome: Exception, now: number): void {
    const { exceptionCode, isDoubtful = false } = outcome;
    this.#count('exception');
    const quality: Quality = `exception:${exceptionCode}`;
    this.#status.reason = describeException(exceptionCode, placeOf(request));
    const wasBad = this.#plans.isKnownBad(request);
    if (!wasBad) poll.failure = quality;
    poll.mark(request.items, quality);
    if (isAboutTheRequest(exceptionCode) && !isDoubtful) {
      // If the device has answered nothing so far, the parts would be refused as well.
      if (this.#health.failures > 0) return;
      poll.pending.unshift(...this.#plans.refused(request, quality, now));
    } else if (wasBad || poll.isProbed || this.#plans.isStubborn(request, this.#answers)) {
      const parts = this.#plans.refused(request, quality, now);
      if (!isOfTheGateway(exceptionCode)) poll.pending.unshift(...parts);
    } else if (isOfTheGateway(exceptionCode) && !poll.hasData) {
      // The gateway waits in vain for each request, and delays its other units.
      poll.abandon(request, quality);
    }
  }

  #failed(poll: Poll, request: PlannedRequest, { fault, detail, quality, isCut }: Fault, now: number): void {
    this.#count(fault);
    const wasBad = this.#plans.isKnownBad(request);
    if (!wasBad) poll.failure = 'offline';
    const isSilent = fault === 'timeout';
    const words = isSilent ? `no answer within ${formatDuration(this.options.responseTimeoutMs)}` : fault;
    this.#status.reason = detail ?? (isSilent ? words : `${words} for ${placeOf(request)}`);
    if (isCut === true && request.items.length > 1) {
      poll.mark(request.items, 'invalid');
      poll.pending.unshift(...this.#plans.refused(request, 'invalid', now));
    } else if (isSilent || fault === 'wrong-transaction') {
      poll.abandon(request, quality ?? 'timeout');
      // The parts are asked for in the next poll: each may cost a timeout.
      if (wasBad || this.#plans.isStubborn(request, this.#answers))
        this.#plans.refused(request, 'timeout', now);
    } else {
      poll.mark(request.items, quality ?? 'crc');
    }
  }

  #finish(poll: Poll, now: number, wallMs: number): Sample | null {
    const wasDead = this.isDead;
    poll.giveUpRest();
    if (!poll.hasData && poll.failure !== null && !poll.isOffline) {
      this.#plans.forget();
      this.#health.failed(poll.failure, now);
    }
    if (!wasDead || !this.isDead) return this.#tell(poll, now, wallMs);
    // While it is dead, its points are reported offline on their own schedule.
    this.#poll = null;
    return null;
  }

  #tell(poll: Poll, monotonicMs: number, wallMs: number): Sample {
    this.#poll = null;
    const [outlier, ...others] = this.#reader.finish(poll);
    this.#wasAway ||= poll.isOffline || this.isDead;
    if (outlier !== undefined) {
      this.#count('implausible', 1 + others.length);
      this.#status.reason = describeOutliers([outlier, ...others]);
    }
    const values: Readonly<Record<string, Value>> = poll.values;
    const whole = { device: this.options.name, wallMs, monotonicMs, values };
    const sample: Sample = poll.isWhole ? whole : { ...whole, quality: poll.quality };
    this.#record.take(sample);
    this.#status.state = this.#stateAfter(poll);
    if (this.#status.state === 'good') this.#status.reason = null;
    return sample;
  }

  #stateAfter(poll: Poll): DeviceStatus['state'] {
    if (poll.isOffline || (this.isDead && !this.#health.speaks)) return 'offline';
    return this.#health.failures > 0 ? 'failing' : this.#record.state;
  }

  #count(kind: string, count = 1): void {
    this.#status.failures[kind] = (this.#status.failures[kind] ?? 0) + count;
  }
}

function placeOf({ table, address, quantity }: PlannedRequest): string {
  return `${quantity} of ${table} ${address}`;
}
