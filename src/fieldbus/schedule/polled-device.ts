import { backoffMs } from '../../base/backoff.ts';
import { formatDuration } from '../../base/quantity.ts';
import type { Quality } from '../../reading/quality.ts';
import { describeOutliers } from '../../reading/range.ts';
import type { Sample, Value } from '../../reading/sample.ts';
import { blankDevice } from '../../reading/blank-status.ts';
import type { DeviceStatus } from '../../reading/status.ts';
import type { Outcome, StrayKind, Transaction } from '../modbus/client.ts';
import type { LineTiming } from '../modbus/line-timing.ts';
import { functionCodes } from '../modbus/pdu.ts';
import type { FaultKind } from '../modbus/rtu-frame.ts';
import type { ModbusDeviceOptions } from '../options.ts';
import { PlanBook } from '../plan/plan-book.ts';
import { itemsOf, type PlannedRequest } from '../plan/planner.ts';
import { SampleRecord } from '../sample-record.ts';
import type { Contender } from './decision.ts';
import { Minute } from './minute.ts';
import { Poll, PollReader } from './poll.ts';
import { Timetable } from './timetable.ts';

/** A device that failed so often in a row is dead: it is asked in growing pauses only. */
const deadAfterFailures = 2;
/** The longest pause: with the wait for a gap and for its share, one that comes back is asked within 15 s. */
const deadPause = { initialMs: 1000, maxMs: 10_000, jitter: 0 };
/** Of the dead's share of one longest pause, what short tries may take; the rest is for long ones. */
const shortTriesShare = 0.75;
/** One try in so many waits the whole response timeout: for a device never heard, and for one grown slow. */
const longTryEvery = { unheard: 8, known: 64 };
/** No device that is there takes longer than this times its usual answer time, nor is one asked for less. */
const slownessFactor = 3;
const tryMsMin = 50;
/** Share of the newest answer time in the smoothed one. */
const answerWeight = 1 / 8;

export type NextStep =
  | { kind: 'ask'; transaction: Transaction; request: PlannedRequest; dead: boolean }
  /** All that is due is known to be refused: there is nothing to ask. */
  | { kind: 'tell'; sample: Sample };

/** One Modbus device: what it is due, whether it lives, and how it is doing. No I/O and no clock of its own. */
export class PolledDevice {
  readonly options: ModbusDeviceOptions;
  readonly #pipeline: number;
  readonly #timetable: Timetable;
  readonly #book: PlanBook;
  readonly #reader: PollReader;
  readonly #status: DeviceStatus;
  readonly #record: SampleRecord;
  readonly #lateness: Minute;
  readonly #busTime: Minute;
  #poll: Poll | null = null;
  #isAnchored = false;
  #failures = 0;
  #pausedUntilMs = 0;
  /** No sooner may it be asked again, as its limits have it. */
  #restsUntilMs = 0;
  #answers = 0;
  #answerMs: number | null = null;

  constructor(options: ModbusDeviceOptions, timing: LineTiming, pipeline: number, now: number) {
    const { name, silo, points, limits } = options;
    const items = itemsOf(points);
    this.options = options;
    this.#pipeline = pipeline;
    this.#timetable = new Timetable(items, now);
    this.#book = new PlanBook(limits, timing);
    this.#reader = new PollReader(items);
    this.#lateness = new Minute(now);
    this.#busTime = new Minute(now);
    const { everyMs } = this.#timetable;
    this.#status = blankDevice(name, silo, Number.isFinite(everyMs) ? everyMs : options.everyMs);
    this.#record = new SampleRecord(now);
  }

  get isDead(): boolean {
    return this.#failures >= deadAfterFailures;
  }

  /** When its next points are due. */
  get dueAtMs(): number {
    return this.#timetable.dueAtMs;
  }

  /** When points are due that would have to be reported offline; never while an answer is waited for. */
  get reportAtMs(): number {
    return this.#poll && this.#poll.inFlight > 0 ? Infinity : this.dueAtMs;
  }

  status(now: number): DeviceStatus {
    return {
      ...this.#status,
      ...this.#record.status(now),
      failures: { ...this.#status.failures },
      answerMs: this.#answerMs === null ? null : Math.round(this.#answerMs * 10) / 10,
      latenessMs: Math.round(this.#lateness.max(now)),
      busShare: this.#busTime.share(now),
    };
  }

  /** What it wants of the bus; null while all that it may have in flight is. */
  contender(deadShareEachMs: number): Contender | null {
    const poll = this.#poll;
    const { isDead, dueAtMs } = this;
    if (poll && (poll.pending.length === 0 || poll.inFlight >= (isDead ? 1 : this.#pipeline))) return null;
    const readyAtMs = poll ? 0 : isDead ? this.#pausedUntilMs : dueAtMs;
    return {
      silo: this.options.silo,
      dead: isDead,
      begun: poll !== null,
      readyAtMs: Math.max(readyAtMs, this.#restsUntilMs),
      deadlineMs: poll ? poll.deadlineMs : dueAtMs + this.#timetable.everyMs,
      costMs: isDead ? this.#tryMs(deadShareEachMs) : 0,
    };
  }

  /** The next request, of a new poll where none is on its way. */
  next(deadShareEachMs: number, now: number, wallMs: number): NextStep {
    const poll = (this.#poll ??= this.#begin(now));
    const request = poll.pending.shift();
    if (request === undefined) return { kind: 'tell', sample: this.#tell(poll, now, wallMs) };
    poll.inFlight += 1;
    this.#status.requests += 1;
    const { unitId, responseTimeoutMs } = this.options;
    const dead = this.isDead;
    const timeoutMs = dead ? this.#tryMs(deadShareEachMs) : responseTimeoutMs;
    const { table, address, quantity } = request;
    const asked = { functionCode: functionCodes[table], address, quantity };
    return { kind: 'ask', transaction: { unitId, request: asked, timeoutMs }, request, dead };
  }

  /** Takes in what became of a request; gives the poll's sample where that was its last. */
  take(request: PlannedRequest, outcome: Outcome, busMs: number, now: number, wallMs: number): Sample | null {
    const poll = this.#poll!;
    poll.inFlight -= 1;
    this.#busTime.add(busMs, now);
    this.#restsUntilMs = now + this.options.limits.requestGapMs;
    switch (outcome.kind) {
      case 'data':
        this.#answered(poll, outcome.answerMs);
        this.#book.answered(request);
        this.#reader.read(poll, request, outcome.data);
        break;
      case 'exception':
        this.#answered(poll, outcome.answerMs);
        this.#refused(poll, request, outcome.exceptionCode, now);
        break;
      case 'fault':
        this.#failed(poll, request, outcome.fault, now);
        break;
      case 'offline':
        poll.abandon(request, 'offline');
        this.#status.reason = outcome.reason;
    }
    return poll.isDone ? this.#finish(poll, now, wallMs) : null;
  }

  /** The sample of points that are due while the device can't be asked. */
  offlineSample(reason: string | null, now: number, wallMs: number): Sample | null {
    if (this.reportAtMs > now) return null;
    const poll = this.#poll ?? new Poll(this.#timetable.take(now), [], now);
    poll.mark(poll.items, 'offline');
    if (reason !== null) this.#status.reason = reason;
    return this.#tell(poll, now, wallMs);
  }

  /** The port is back: whoever was waited for may be, too. */
  endPause(): void {
    this.#pausedUntilMs = 0;
  }

  countStray(kind: StrayKind): void {
    this.#count(kind);
  }

  #begin(now: number): Poll {
    // Anchored where the bus first had time for it, devices of one interval don't come due all at once.
    if (!this.#isAnchored) this.#timetable.anchor(now);
    this.#isAnchored = true;
    if (!this.isDead) this.#lateness.add(Math.max(0, now - this.dueAtMs), now);
    const due = this.#timetable.take(now);
    const items = due.length > 0 ? due : this.#timetable.fastest;
    const poll = new Poll(items, this.#book.plan(items, now), Math.max(now, this.dueAtMs));
    for (const { item, quality } of this.#book.badAmong(items)) poll.mark([item], quality);
    return poll;
  }

  #answered(poll: Poll, answerMs: number): void {
    poll.answered = true;
    this.#failures = 0;
    this.#answers += 1;
    const before = this.#answerMs ?? answerMs;
    this.#answerMs = before + (answerMs - before) * answerWeight;
    this.#book.answerMs = this.#answerMs;
  }

  /**
   * Modbus V1.1b3 §7: 2 and 3 are about what was asked and may concern a part of it, 1 about all of it, the rest
   * about the device. The parts of what is refused are asked for at once, so that the good ones are in this poll yet.
   */
  #refused(poll: Poll, request: PlannedRequest, exceptionCode: number, now: number): void {
    this.#count('exception');
    const quality: Quality = `exception:${exceptionCode}`;
    this.#status.reason = `exception ${exceptionCode} for ${placeOf(request)}`;
    poll.mark(request.items, quality);
    const isPartial = exceptionCode === 2 || exceptionCode === 3;
    if (exceptionCode === 1) this.#book.refusedWhole(request, quality, now);
    else if (isPartial || this.#book.isStubborn(request, this.#answers)) {
      poll.pending.unshift(...this.#book.refused(request, quality, now));
    }
  }

  #failed(poll: Poll, request: PlannedRequest, fault: FaultKind, now: number): void {
    this.#count(fault);
    if (fault !== 'timeout') {
      this.#status.reason = `${fault} for ${placeOf(request)}`;
      poll.mark(request.items, 'crc');
      return;
    }
    this.#status.reason = `no answer within ${formatDuration(this.options.responseTimeoutMs)}`;
    poll.abandon(request, 'timeout');
    // Its parts are asked for in the next poll: each may cost a timeout.
    if (this.#book.isStubborn(request, this.#answers)) this.#book.refused(request, 'timeout', now);
  }

  #finish(poll: Poll, now: number, wallMs: number): Sample | null {
    const wasDead = this.isDead;
    if (!poll.answered && !poll.isOffline) this.#failures += 1;
    if (this.isDead) {
      this.#pausedUntilMs = now + backoffMs(this.#failures - deadAfterFailures + 1, deadPause, 0);
    }
    if (!wasDead || !this.isDead) return this.#tell(poll, now, wallMs);
    // While it is dead, its points are reported offline on their own schedule.
    this.#poll = null;
    return null;
  }

  #tell(poll: Poll, monotonicMs: number, wallMs: number): Sample {
    this.#poll = null;
    const [outlier, ...others] = this.#reader.finish(poll);
    this.#status.state = this.#stateAfter(poll);
    if (outlier !== undefined) {
      this.#count('implausible', 1 + others.length);
      this.#status.reason = describeOutliers([outlier, ...others]);
    }
    if (this.#status.state === 'good') this.#status.reason = null;
    const values: Readonly<Record<string, Value>> = poll.values;
    const whole = { device: this.options.name, wallMs, monotonicMs, values };
    const sample: Sample = poll.isWhole ? whole : { ...whole, quality: poll.quality };
    this.#record.take(sample);
    return sample;
  }

  #stateAfter(poll: Poll): DeviceStatus['state'] {
    if (poll.isOffline || this.isDead) return 'offline';
    if (poll.isWhole) return 'good';
    return this.#failures > 0 ? 'failing' : 'partial';
  }

  /** How long one try of a dead device may wait. */
  #tryMs(deadShareEachMs: number): number {
    const { responseTimeoutMs } = this.options;
    const longEvery = this.#answerMs === null ? longTryEvery.unheard : longTryEvery.known;
    if (this.#failures % longEvery === 0) return responseTimeoutMs;
    const usualMs = Math.max(tryMsMin, (this.#answerMs ?? 0) * slownessFactor);
    return Math.min(responseTimeoutMs, Math.max(usualMs, deadShareEachMs * shortTriesShare));
  }

  #count(kind: string, count = 1): void {
    this.#status.failures[kind] = (this.#status.failures[kind] ?? 0) + count;
  }
}

/** The part of one longest pause that each of `count` dead devices may take. */
export function deadShareEach(deadShareMax: number, count: number): number {
  return (deadShareMax * deadPause.maxMs) / Math.max(1, count);
}

function placeOf({ table, address, quantity }: PlannedRequest): string {
  return `${quantity} of ${table} ${address}`;
}
