import type { PlanItem } from '../planning/planner.ts';

/** Points that share an interval, next due at the anchor + `turn` × `everyMs`. */
interface Group {
  everyMs: number;
  items: readonly PlanItem[];
  turn: number;
}

/**
 * When which points of a device are due. All intervals count from one anchor, so that their polls coincide if possible.
 */
export class Timetable {
  readonly #groups: Group[];
  #anchorMs: number;

  /** Everything is due at once. `items` are in the order of `itemsOf`; due items keep it. */
  constructor(items: readonly PlanItem[], now: number) {
    const intervals = [...new Set(items.map(({ point }) => point.everyMs))].sort((a, b) => a - b);
    this.#groups = intervals.map((everyMs) => ({
      everyMs,
      items: items.filter(({ point }) => point.everyMs === everyMs),
      turn: 0,
    }));
    this.#anchorMs = now;
  }

  /** Infinity for a device without points. */
  get dueAtMs(): number {
    let dueAtMs = Infinity;
    for (const { everyMs, turn } of this.#groups)
      dueAtMs = Math.min(dueAtMs, this.#anchorMs + turn * everyMs);
    return dueAtMs;
  }

  /** The shortest interval. */
  get everyMs(): number {
    return this.#groups[0]?.everyMs ?? Infinity;
  }

  /** Turns of the shortest interval that `take` would skip, beside the one that it returns. */
  missed(now: number): number {
    const [fastest] = this.#groups;
    if (fastest === undefined) return 0;
    return Math.max(0, Math.floor((now - this.#anchorMs) / fastest.everyMs) - fastest.turn);
  }

  /** The points with the shortest interval. */
  get fastest(): readonly PlanItem[] {
    return this.#groups[0]?.items ?? [];
  }

  /** Moves the intervals not yet begun to begin now. */
  anchor(now: number): void {
    this.#anchorMs = now;
  }

  /** The points due by now; their next turn is the first future one, even if several were missed. */
  take(now: number): PlanItem[] {
    const due = this.#groups.filter(({ everyMs, turn }) => this.#anchorMs + turn * everyMs <= now);
    for (const group of due) {
      const passed = Math.floor((now - this.#anchorMs) / group.everyMs);
      group.turn = Math.max(passed, group.turn) + 1;
    }
    const items = due.flatMap(({ items }) => items);
    return due.length > 1 ? items.sort(byPlace) : items;
  }
}

function byPlace(a: PlanItem, b: PlanItem): number {
  return a.table.localeCompare(b.table) || a.order - b.order;
}
