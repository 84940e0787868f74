import { backoffMs } from '../../base/backoff.ts';
import { formatDuration } from '../../base/quantity.ts';
import type { Quality } from '../../reading/quality.ts';
import type { Sample, Value } from '../../reading/sample.ts';
import type { DeviceStatus } from '../../reading/status.ts';
import type { Outcome, StrayKind, Transaction } from '../modbus/client.ts';
import type { LineTiming } from '../modbus/line-timing.ts';
import { functionCodes } from '../modbus/pdu.ts';
import { type PointReader, pointReader, withFactor } from '../modbus/point-reader.ts';
import type { FaultKind } from '../modbus/rtu-frame.ts';
import type { ModbusDeviceOptions } from '../options.ts';
import { assumedAnswerMs, costModel } from '../plan/cost.ts';
import { itemsOf, type PlanItem, type PlannedRequest, planRequests } from '../plan/planner.ts';
import { accept, current, noRefusals, type Refusals, refuse } from '../plan/refusals.ts';
import type { Contender } from './decision.ts';
import { Minute } from './minute.ts';

/** Points that share an interval; due at `anchorMs` + `turn` × `everyMs`. */
interface Group {
  everyMs: number;
  items: PlanItem[];
  turn: number;
}

/** One poll on its way: what it has still to ask, and what it has so far. */
interface Poll {
  items: readonly PlanItem[];
  deadlineMs: number;
  pending: PlannedRequest[];
  inFlight: number;
  answered: boolean;
  values: Record<string, Value>;
  quality: Record<string, Quality>;
}

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
/** A request that failed so often while others of its device were answered is taken to be refused. */
const stubbornAfter = 2;
/** A plan is made anew when the answer time has changed by this factor. */
const answerDrift = 1.25;

const faultQuality: Record<FaultKind, Quality> = {
  timeout: 'timeout',
  crc: 'crc',
  'wrong-unit': 'crc',
  'wrong-function': 'crc',
  'wrong-length': 'crc',
  'short-frame': 'crc',
  noise: 'crc',
};

export type NextStep =
  | { kind: 'ask'; transaction: Transaction; request: PlannedRequest; dead: boolean }
  /** All that is due is known to be refused: there is nothing to ask. */
  | { kind: 'tell'; sample: Sample };

/** What one Modbus device is due, what it has taught us, and how it is doing. No I/O and no clock of its own. */
export class PolledDevice {
  readonly options: ModbusDeviceOptions;
  readonly #timing: LineTiming;
  readonly #pipeline: number;
  readonly #groups: Group[];
  readonly #readers: Map<PlanItem, PointReader>;
  readonly #factors = new Map<string, Value | undefined>();
  readonly #stubborn = new Map<string, { count: number; answers: number }>();
  readonly #plans = new Map<string, { requests: PlannedRequest[]; refusals: Refusals; answerMs: number }>();
  readonly #status: DeviceStatus;
  readonly #lateness: Minute;
  readonly #busTime: Minute;
  #anchorMs: number;
  #started = false;
  #refusals = noRefusals;
  #poll: Poll | null = null;
  #failures = 0;
  #pausedUntilMs = 0;
  #quietUntilMs = 0;
  #answers = 0;
  #answerMs: number | null = null;

  constructor(options: ModbusDeviceOptions, timing: LineTiming, pipeline: number, now: number) {
    this.options = options;
    this.#timing = timing;
    this.#pipeline = pipeline;
    this.#anchorMs = now;
    const items = itemsOf(options.points);
    const intervals = [...new Set(items.map(({ point }) => point.everyMs))].sort((a, b) => a - b);
    this.#groups = intervals.map((everyMs) => ({
      everyMs,
      items: items.filter(({ point }) => point.everyMs === everyMs),
      turn: 0,
    }));
    this.#readers = new Map(items.map((item) => [item, pointReader(item.point)]));
    this.#lateness = new Minute(now);
    this.#busTime = new Minute(now);
    this.#status = {
      name: options.name,
      silo: options.silo,
      state: 'starting',
      reason: null,
      samples: 0,
      requests: 0,
      failures: {},
      lastSampleAt: null,
      answerMs: null,
      latenessMs: 0,
      busShare: 0,
    };
  }

  get isDead(): boolean {
    return this.#failures >= deadAfterFailures;
  }

  /** When points are due that would have to be reported offline; never while an answer is waited for. */
  get reportAtMs(): number {
    return this.#poll && this.#poll.inFlight > 0 ? Infinity : this.dueAtMs;
  }

  /** When its next points are due. */
  get dueAtMs(): number {
    return Math.min(...this.#groups.map((group) => this.#dueAt(group)));
  }

  status(now: number): DeviceStatus {
    return {
      ...this.#status,
      failures: { ...this.#status.failures },
      answerMs: this.#answerMs === null ? null : Math.round(this.#answerMs * 10) / 10,
      latenessMs: Math.round(this.#lateness.max(now)),
      busShare: this.#busTime.share(now),
    };
  }

  /** What it wants of the bus; null while all that it may have in flight is. */
  contender(deadShareEachMs: number): Contender | null {
    const { silo } = this.options;
    const poll = this.#poll;
    if (poll && (poll.pending.length === 0 || poll.inFlight >= (this.isDead ? 1 : this.#pipeline)))
      return null;
    const dueAtMs = this.dueAtMs;
    const fastest = this.#groups[0]!.everyMs;
    const readyAtMs = poll ? 0 : this.isDead ? this.#pausedUntilMs : dueAtMs;
    return {
      silo,
      dead: this.isDead,
      readyAtMs: Math.max(readyAtMs, this.#quietUntilMs),
      deadlineMs: poll ? poll.deadlineMs : dueAtMs + fastest,
      costMs: this.isDead ? this.#tryMs(deadShareEachMs) : 0,
    };
  }

  /** The next request, of a new poll where none is on its way. */
  next(deadShareEachMs: number, now: number, wallMs: number): NextStep {
    const poll = (this.#poll ??= this.#begin(now));
    const request = poll.pending.shift();
    if (request === undefined) return { kind: 'tell', sample: this.#tell(poll, now, wallMs) };
    poll.inFlight += 1;
    this.#status.requests += 1;
    const { table, address, quantity } = request;
    const dead = this.isDead;
    const timeoutMs = dead ? this.#tryMs(deadShareEachMs) : this.options.responseTimeoutMs;
    const functionCode = functionCodes[table];
    const transaction = {
      unitId: this.options.unitId,
      request: { functionCode, address, quantity },
      timeoutMs,
    };
    return { kind: 'ask', transaction, request, dead };
  }

  /** Takes in what became of a request; the poll's sample where that was its last. */
  take(request: PlannedRequest, outcome: Outcome, busMs: number, now: number, wallMs: number): Sample | null {
    const poll = this.#poll!;
    poll.inFlight -= 1;
    this.#busTime.add(busMs, now);
    this.#quietUntilMs = now + this.options.limits.requestGapMs;
    switch (outcome.kind) {
      case 'data':
        this.#answered(poll, outcome.answerMs);
        this.#stubborn.delete(keyOf(request));
        this.#refusals = accept(this.#refusals, request);
        this.#read(poll, request, outcome.data);
        break;
      case 'exception':
        this.#answered(poll, outcome.answerMs);
        this.#refused(poll, request, outcome.exceptionCode, now);
        break;
      case 'fault':
        this.#failed(poll, request, outcome.fault, now);
        break;
      case 'offline':
        this.#abandon(poll, request, 'offline');
        this.#status.reason = outcome.reason;
    }
    return poll.pending.length === 0 && poll.inFlight === 0 ? this.#finish(poll, now, wallMs) : null;
  }

  /** The sample of points that are due while the device can't be asked. */
  offlineSample(reason: string | null, now: number, wallMs: number): Sample | null {
    if (this.reportAtMs > now) return null;
    this.#poll = null;
    const items = this.#takeDue(now);
    this.#status.state = 'offline';
    if (reason !== null) this.#status.reason = reason;
    const quality = Object.fromEntries(items.map(({ point }) => [point.name, 'offline' as const]));
    return this.#sample({}, quality, now, wallMs);
  }

  /** The port is back: whoever was waited for may be, too. */
  endPause(): void {
    this.#pausedUntilMs = 0;
  }

  countStray(kind: StrayKind): void {
    this.#count(kind);
  }

  #dueAt({ everyMs, turn }: Group): number {
    return this.#anchorMs + turn * everyMs;
  }

  /** Moves every group that is due on to its next turn after now. */
  #takeDue(now: number): PlanItem[] {
    const due = this.#groups.filter((group) => this.#dueAt(group) <= now);
    for (const group of due) {
      const passed = Math.floor((now - this.#anchorMs) / group.everyMs);
      group.turn = Math.max(passed, group.turn) + 1;
    }
    return due.flatMap(({ items }) => items);
  }

  #begin(now: number): Poll {
    // Anchored where the bus first had time for it, devices of one interval don't come due all at once.
    if (!this.#started) this.#anchorMs = now;
    this.#started = true;
    if (!this.isDead) this.#lateness.add(Math.max(0, now - this.dueAtMs), now);
    const due = this.#takeDue(now);
    const items = due.length > 0 ? due : this.#groups[0]!.items;
    const quality: Record<string, Quality> = {};
    for (const bad of this.#refusals.bad) {
      if (items.includes(bad.item)) quality[bad.item.point.name] = bad.quality;
    }
    const deadlineMs = Math.max(now, this.dueAtMs);
    const poll = { items, deadlineMs, pending: [], inFlight: 0, answered: false, values: {}, quality };
    return { ...poll, pending: this.#plan(items, now) };
  }

  #plan(items: readonly PlanItem[], now: number): PlannedRequest[] {
    this.#refusals = current(this.#refusals, now);
    const { limits } = this.options;
    const assumed = this.#timing.charMs > 0 ? assumedAnswerMs.line : assumedAnswerMs.socket;
    const answerMs = this.#answerMs ?? assumed;
    const key = [...new Set(items.map(({ point }) => point.everyMs))].join();
    const cached = this.#plans.get(key);
    const drift = cached ? answerMs / cached.answerMs : 0;
    const settled = !this.#refusals.bad.some(({ retryAtMs }) => retryAtMs <= now);
    const fresh = cached?.refusals === this.#refusals && drift < answerDrift && drift > 1 / answerDrift;
    if (cached && fresh && settled) return this.#stubbornLast(cached.requests);
    const cost = costModel(this.#timing, Math.max(answerMs, 0.1));
    const sorted = [...items].sort((a, b) => a.table.localeCompare(b.table) || a.order - b.order);
    const requests = planRequests(sorted, limits, cost, this.#refusals, now);
    if (settled)
      this.#plans.set(key, { requests, refusals: this.#refusals, answerMs: Math.max(answerMs, 0.1) });
    return this.#stubbornLast(requests);
  }

  #stubbornLast(requests: readonly PlannedRequest[]): PlannedRequest[] {
    if (this.#stubborn.size === 0) return [...requests];
    const isStubborn = (request: PlannedRequest): boolean => this.#stubborn.has(keyOf(request));
    return [...requests.filter((request) => !isStubborn(request)), ...requests.filter(isStubborn)];
  }

  #answered(poll: Poll, answerMs: number): void {
    poll.answered = true;
    this.#failures = 0;
    this.#answers += 1;
    this.#answerMs = this.#answerMs === null ? answerMs : this.#answerMs + (answerMs - this.#answerMs) / 8;
  }

  #read(poll: Poll, { items, address }: PlannedRequest, data: Uint8Array): void {
    for (const item of items) {
      const { name } = item.point;
      const value = this.#readers.get(item)!(data, address);
      if (value === undefined) poll.quality[name] = 'invalid';
      else {
        poll.values[name] = value;
        delete poll.quality[name];
      }
    }
  }

  /** Modbus V1.1b3 §7. 2 and 3 are about what was asked and may concern a part; 1 about all of it; the rest about the device. */
  #refused(poll: Poll, request: PlannedRequest, exceptionCode: number, now: number): void {
    this.#count('exception');
    const quality: Quality = `exception:${exceptionCode}`;
    const { table, address, quantity } = request;
    this.#status.reason = `exception ${exceptionCode} for ${quantity} of ${table} ${address}`;
    if (exceptionCode === 1) {
      for (const item of request.items) this.#learn(poll, { ...request, items: [item] }, quality, now);
    } else if (exceptionCode === 2 || exceptionCode === 3 || this.#isStubborn(request)) {
      this.#learn(poll, request, quality, now);
    } else {
      mark(poll, request.items, quality);
    }
  }

  /** The request is refused: its parts are asked for at once, so that the good ones are in this poll yet. */
  #learn(poll: Poll, request: PlannedRequest, quality: Quality, now: number): void {
    this.#refusals = refuse(this.#refusals, request, quality, now);
    this.#stubborn.delete(keyOf(request));
    mark(poll, request.items, quality);
    if (request.items.length > 1) poll.pending.unshift(...this.#plan(request.items, now));
  }

  #failed(poll: Poll, request: PlannedRequest, fault: FaultKind, now: number): void {
    this.#count(fault);
    const quality = faultQuality[fault];
    const { table, address, quantity } = request;
    const { responseTimeoutMs } = this.options;
    this.#status.reason =
      fault === 'timeout'
        ? `no answer within ${formatDuration(responseTimeoutMs)}`
        : `${fault} for ${quantity} of ${table} ${address}`;
    if (fault !== 'timeout') return mark(poll, request.items, quality);
    if (this.#isStubborn(request)) this.#learn(poll, request, quality, now);
    this.#abandon(poll, request, quality);
  }

  /** Whether it failed again although the device has answered other things since. Counts this failure. */
  #isStubborn(request: PlannedRequest): boolean {
    const key = keyOf(request);
    const before = this.#stubborn.get(key) ?? { count: 0, answers: -1 };
    const count = before.count + (this.#answers > before.answers ? 1 : 0);
    this.#stubborn.set(key, { count, answers: this.#answers });
    return count > stubbornAfter;
  }

  #abandon(poll: Poll, request: PlannedRequest, quality: Quality): void {
    mark(poll, request.items, quality);
    for (const { items } of poll.pending) mark(poll, items, quality);
    poll.pending = [];
  }

  #finish(poll: Poll, now: number, wallMs: number): Sample | null {
    this.#poll = null;
    const wasDead = this.isDead;
    if (!poll.answered && !isOffline(poll)) this.#failures += 1;
    if (this.isDead) {
      const pause = backoffMs(this.#failures - deadAfterFailures + 1, deadPause, 0);
      this.#pausedUntilMs = now + pause;
    }
    // While it is dead, its points are reported offline on their own schedule.
    if (wasDead && this.isDead) return null;
    return this.#tell(poll, now, wallMs);
  }

  #tell(poll: Poll, now: number, wallMs: number): Sample {
    this.#poll = null;
    this.#applyFactors(poll);
    const isWhole = Object.keys(poll.quality).length === 0;
    if (isWhole) this.#status.reason = null;
    if (isOffline(poll) || this.isDead) this.#status.state = 'offline';
    else if (isWhole) this.#status.state = 'good';
    else this.#status.state = this.#failures > 0 ? 'failing' : 'partial';
    return this.#sample(poll.values, poll.quality, now, wallMs);
  }

  #applyFactors(poll: Poll): void {
    const scaled = poll.items.filter(({ point }) => point.scaleFrom !== undefined);
    if (scaled.length === 0) return;
    const sources = new Set(scaled.map(({ point }) => point.scaleFrom!));
    for (const name of sources) {
      if (name in poll.values) this.#factors.set(name, poll.values[name]);
      else if (poll.quality[name] === 'invalid') this.#factors.delete(name);
    }
    for (const { point } of scaled) {
      const raw = poll.values[point.name];
      if (raw === undefined) continue;
      const value = withFactor(raw, this.#factors.get(point.scaleFrom!));
      if (value !== undefined) poll.values[point.name] = value;
      else {
        delete poll.values[point.name];
        poll.quality[point.name] = 'invalid';
      }
    }
  }

  #sample(
    values: Record<string, Value>,
    quality: Record<string, Quality>,
    monotonicMs: number,
    wallMs: number,
  ): Sample {
    this.#status.samples += 1;
    this.#status.lastSampleAt = wallMs;
    const sample = { device: this.options.name, wallMs, monotonicMs, values };
    return Object.keys(quality).length === 0 ? sample : { ...sample, quality };
  }

  #tryMs(deadShareEachMs: number): number {
    const { responseTimeoutMs } = this.options;
    const longEvery = this.#answerMs === null ? longTryEvery.unheard : longTryEvery.known;
    if (this.#failures % longEvery === 0) return responseTimeoutMs;
    const usual = Math.max(tryMsMin, (this.#answerMs ?? 0) * slownessFactor);
    return Math.min(responseTimeoutMs, Math.max(usual, deadShareEachMs * shortTriesShare));
  }

  #count(kind: string): void {
    this.#status.failures[kind] = (this.#status.failures[kind] ?? 0) + 1;
  }
}

/** The part of one longest pause that each of `count` dead devices may take. */
export function deadShareEach(deadShareMax: number, count: number): number {
  return (deadShareMax * deadPause.maxMs) / Math.max(1, count);
}

function isOffline({ quality }: Poll): boolean {
  return Object.values(quality).includes('offline');
}

function keyOf({ table, address, quantity }: PlannedRequest): string {
  return `${table} ${address} ${quantity}`;
}

function mark(poll: Poll, items: readonly PlanItem[], quality: Quality): void {
  for (const { point } of items) poll.quality[point.name] = quality;
}
