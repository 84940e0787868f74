import type { Quality } from '../../../reading/quality.ts';
import { compileRange, type Outlier, type RangeCheck } from '../../../reading/range.ts';
import type { Value } from '../../../reading/sample.ts';
import { type PointReader, pointReader, withFactor } from '../point-reader.ts';
import type { PlanItem, PlannedRequest } from '../planning/planner.ts';

/** One poll on its way: what it has still to ask, and what it has so far. Every item ends with a value or a quality. */
export class Poll {
  readonly items: readonly PlanItem[];
  /** When it should be done: as the next one is due. */
  readonly deadlineMs: number;
  readonly values: Record<string, Value> = {};
  readonly quality: Record<string, Quality> = {};
  pending: PlannedRequest[];
  inFlight = 0;
  /** The device gave data, which alone shows that it lives. */
  hasData = false;
  /** Why something that was expected to be answered was not; null where all was. */
  failure: Quality | null = null;
  /** Asked for once the first request, a probe, has shown that the device lives. */
  rest: PlannedRequest[] = [];
  /** A single point was asked for first, and came: what fails now fails for what it asks. */
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

  /** What has a value keeps it. */
  mark(items: readonly PlanItem[], quality: Quality): void {
    for (const { point } of items) if (!(point.name in this.values)) this.quality[point.name] = quality;
  }

  /** Nothing more is asked, and what was to be asked has this quality. */
  abandon(request: PlannedRequest, quality: Quality): void {
    this.mark(request.items, quality);
    for (const { items } of this.pending) this.mark(items, quality);
    this.pending = [];
  }

  /** The probe failed: what was to follow fails for the same reason. */
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
   * Once a poll is done: scales, for a factor may have come after what it is for, drops what is not given out, and
   * gives the values that are outside of their range, marked as such.
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
