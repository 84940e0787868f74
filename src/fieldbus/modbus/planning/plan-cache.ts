import type { Quality } from '../../../reading/quality.ts';
import type { LineTiming } from '../line-timing.ts';
import type { RequestLimits } from '../../options.ts';
import { assumedAnswerMs, costModel } from './request-cost.ts';
import { type PlanItem, type PlannedRequest, planRequests } from './planner.ts';
import { accept, type BadItem, current, noBadRegisters, type BadRegisters, refuse } from './bad-registers.ts';

interface Plan {
  requests: PlannedRequest[];
  badRegisters: BadRegisters;
}

/** A request that failed this often while others of its device were answered counts as refused. */
const stubbornAfter = 2;
const presumed = { failures: stubbornAfter, answers: -1 };
/** Below this an answer time measures our own process more than the device. */
const answerMsMin = 1;

/** The plans of one device, and its known bad registers. Plans are kept until something changes them. */
export class PlanCache {
  readonly #limits: RequestLimits;
  readonly #timing: LineTiming;
  readonly #plans = new Map<string, Plan>();
  readonly #stubborn = new Map<string, { failures: number; answers: number }>();
  #badRegisters = noBadRegisters;
  #answerMs: number;

  constructor(limits: RequestLimits, timing: LineTiming) {
    this.#limits = limits;
    this.#timing = timing;
    this.#answerMs = timing.charMs > 0 ? assumedAnswerMs.line : assumedAnswerMs.socket;
  }

  /** Plans are made for answer times rounded to powers of two: more precision gives no better plan. */
  set answerMs(answerMs: number) {
    this.#answerMs = 2 ** Math.round(Math.log2(Math.max(answerMs, answerMsMin)));
  }

  /** The requests for all due points; requests that failed recently come last. */
  plan(due: readonly PlanItem[], now: number): PlannedRequest[] {
    this.#badRegisters = current(this.#badRegisters, now);
    const intervals = new Set(due.map(({ point }) => point.everyMs));
    const key = `${this.#answerMs} ${[...intervals].join()}`;
    const retries = this.#badRegisters.bad.some(({ retryAtMs }) => retryAtMs <= now);
    const kept = this.#plans.get(key);
    if (kept?.badRegisters === this.#badRegisters && !retries) return this.#stubbornLast(kept.requests);
    const requests = this.#requestsFor(due, now);
    if (!retries) this.#plans.set(key, { requests, badRegisters: this.#badRegisters });
    return this.#stubbornLast(requests);
  }

  /** The known bad items, with their reasons. */
  badAmong(items: readonly PlanItem[]): BadItem[] {
    return this.#badRegisters.bad.filter(({ item }) => items.includes(item));
  }

  answered(request: PlannedRequest): void {
    this.#stubborn.delete(keyOf(request));
    this.#badRegisters = accept(this.#badRegisters, request);
  }

  /** The device won't answer this request; returns the requests to send instead, none for a single item. */
  refused(request: PlannedRequest, quality: Quality, now: number): PlannedRequest[] {
    this.#stubborn.delete(keyOf(request));
    this.#badRegisters = refuse(this.#badRegisters, request, quality, now);
    const parts = request.items.length > 1 ? this.#requestsFor(request.items, now) : [];
    // One of the parts must be the cause. If it is refused at once, it need not fail as often again.
    if (quality !== 'timeout') for (const part of parts) this.#stubborn.set(keyOf(part), presumed);
    return parts;
  }

  /** Whether all of it is known to be refused: the request only tries whether that has changed. */
  isKnownBad({ items }: PlannedRequest): boolean {
    return items.every((item) => this.#badRegisters.bad.some((bad) => bad.item === item));
  }

  /** Forgets all refusals: the device was away, or refuses everything. */
  forget(): void {
    this.#badRegisters = noBadRegisters;
  }

  /**
   * Counts a failure that may be due to the request or to the device. True once it failed repeatedly although the
   * device gave data for other requests in between; `answers` is the count of all such answers.
   */
  isStubborn(request: PlannedRequest, answers: number): boolean {
    const key = keyOf(request);
    const before = this.#stubborn.get(key) ?? { failures: 0, answers: -1 };
    const failures = before.failures + (answers > before.answers ? 1 : 0);
    this.#stubborn.set(key, { failures, answers });
    return failures > stubbornAfter;
  }

  #requestsFor(items: readonly PlanItem[], now: number): PlannedRequest[] {
    const cost = costModel(this.#timing, this.#answerMs);
    return planRequests(items, this.#limits, cost, this.#badRegisters, now);
  }

  #stubbornLast(requests: readonly PlannedRequest[]): PlannedRequest[] {
    if (this.#stubborn.size === 0) return [...requests];
    const isStubborn = (request: PlannedRequest): boolean => this.#stubborn.has(keyOf(request));
    return [...requests.filter((request) => !isStubborn(request)), ...requests.filter(isStubborn)];
  }
}

function keyOf({ table, address, quantity }: PlannedRequest): string {
  return `${table} ${address} ${quantity}`;
}
