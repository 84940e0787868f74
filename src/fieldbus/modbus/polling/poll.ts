import type { Quality } from '../../../reading/quality.ts';
import { compileRange, type Outlier, type RangeCheck } from '../../../reading/range.ts';
import type { Value } from '../../../reading/sample.ts';
import { type PointReader, pointReader, withFactor } from '../point-reader.ts';
import type { PlanItem, PlannedRequest } from '../planning/planner.ts';

/** One poll in progress: requests still to send, and results so far. Every item ends with a value or a quality. */
export class Poll {
  readonly items: readonly PlanItem[];
  /** When it should be done: when the next one is due. */
  readonly deadlineMs: number;
  readonly values: Record<string, Value> = {};
  readonly quality: Record<string, Quality> = {};
  pending: PlannedRequest[];
  inFlight = 0;
  /** The device gave data, the only proof that it is alive. */
  hasData = false;
  /** Why an expected answer is missing; null if none is. */
  failure: Quality | null = null;
  /** Requests for after the first one, a probe, has shown that the device is alive. */
  rest: PlannedRequest[] = [];
  /** A single point was asked for first, and came: a later failure is due to the request, not to the device. */
  isProbed = false;

  constructor(items: readonly PlanItem[], pending: PlannedRequest[], deadlineMs: number) {
    this.items = items;
    this.pending = pending;
    this.deadlineMs = deadlineMs;
  }

  get isDone(): boolean {
    return this.pending.length === 0 && this.inFlight === 0;
  }

  get isWhole(): boolean {
    return Object.keys(this.quality).length === 0;
  }

  get isOffline(): boolean {
    return Object.values(this.quality).includes('offline');
  }

  /** Items with a value keep it. */
  mark(items: readonly PlanItem[], quality: Quality): void {
    for (const { point } of items) if (!(point.name in this.values)) this.quality[point.name] = quality;
  }

  /** Cancels the remaining requests; their items get this quality. */
  abandon(request: PlannedRequest, quality: Quality): void {
    this.mark(request.items, quality);
    for (const { items } of this.pending) this.mark(items, quality);
    this.pending = [];
  }

  /** The probe failed: the requests after it fail for the same reason. */
  giveUpRest(): void {
    const [why = 'timeout'] = Object.values(this.quality);
    for (const { items } of this.rest.splice(0)) {
      this.mark(
        items.filter(({ point }) => !(point.name in this.quality)),
        why,
      );
    }
  }

  /** Takes undefined for invalid. */
  put({ point }: PlanItem, value: Value | undefined): void {
    const { name } = point;
    if (value === undefined) {
      delete this.values[name];
      this.quality[name] = 'invalid';
    } else {
      this.values[name] = value;
      delete this.quality[name];
    }
  }
}

/** Turns the answers to a device's requests into values. */
export class PollReader {
  readonly #readers: ReadonlyMap<PlanItem, PointReader>;
  /** Powers of ten that points are scaled by, by the name of the point that holds them. */
  readonly #factors = new Map<string, Value>();
  readonly #scaled: readonly PlanItem[];
  readonly #internal: readonly string[];
  readonly #ranges: readonly { point: PlanItem['point']; isPlausible: RangeCheck }[];

  constructor(items: readonly PlanItem[]) {
    this.#readers = new Map(items.map((item) => [item, pointReader(item.point)]));
    this.#scaled = items.filter(({ point }) => point.scaleFrom !== undefined);
    this.#internal = items.flatMap(({ point }) => (point.internal ? [point.name] : []));
    this.#ranges = items.flatMap(({ point }) => {
      const isPlausible = compileRange(point);
      return isPlausible === undefined ? [] : [{ point, isPlausible }];
    });
  }

  read(poll: Poll, { items, address }: PlannedRequest, data: Uint8Array): void {
    for (const item of items) poll.put(item, this.#readers.get(item)!(data, address));
  }

  /**
   * Finishes a poll: scales (a factor may have come after the value it belongs to), drops hidden points, and returns
   * the values outside of their range, which it marks as implausible.
   */
  finish(poll: Poll): Outlier[] {
    for (const { point } of this.#scaled) {
      const name = point.scaleFrom!;
      const factor = poll.values[name];
      if (factor !== undefined) this.#factors.set(name, factor);
      else if (poll.quality[name] === 'invalid') this.#factors.delete(name);
    }
    for (const item of this.#scaled) {
      const { name, scaleFrom } = item.point;
      const raw = poll.values[name];
      if (raw !== undefined) poll.put(item, withFactor(raw, this.#factors.get(scaleFrom!)));
    }
    for (const name of this.#internal) {
      delete poll.values[name];
      delete poll.quality[name];
    }
    const outliers: Outlier[] = [];
    for (const { point, isPlausible } of this.#ranges) {
      const value = poll.values[point.name];
      if (value === undefined || isPlausible(value)) continue;
      poll.quality[point.name] = 'implausible';
      outliers.push({ point, value });
    }
    return outliers;
  }
}
