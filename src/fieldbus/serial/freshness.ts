import type { SerialProtocol } from '../options.ts';

/** A sensor may miss one interval without an alarm; the second one counts. */
const missedMax = 2;

interface Watched {
  everyMs: number;
  optional: boolean;
  /** Monotonic; null: not since the start. */
  seenAt: number | null;
}

/**
 * Which points a sensor owes. An optional one is owed only once it has come; but a sensor that has never sent
 * anything owes them all. A point is stale when it has not come for twice its interval.
 */
export interface Freshness {
  /** Counts from here, as after the port opened. */
  begin(nowMs: number): void;
  saw(names: Iterable<string>, nowMs: number): void;
  owed(): string[];
  stale(nowMs: number): string[];
}

export function createFreshness(protocol: SerialProtocol, everyMs: number): Freshness {
  const points = new Map<string, Watched>();
  for (const message of protocol.messages) {
    for (const { name, optional } of message.fields) {
      const interval = Math.max(everyMs, message.everyMs ?? 0);
      const known = points.get(name);
      points.set(name, {
        everyMs: Math.min(interval, known?.everyMs ?? interval),
        optional: optional && (known?.optional ?? true),
        seenAt: null,
      });
    }
  }
  let beganAt = 0;
  let anySeen = false;
  const isDue = ({ optional, seenAt }: Watched): boolean => !optional || seenAt !== null || !anySeen;
  const select = (wanted: (point: Watched) => boolean): string[] =>
    [...points].filter(([, point]) => isDue(point) && wanted(point)).map(([name]) => name);
  return {
    begin: (nowMs) => {
      beganAt = nowMs;
    },
    saw: (names, nowMs) => {
      for (const name of names) {
        const point = points.get(name);
        if (point === undefined) continue;
        point.seenAt = nowMs;
        anySeen = true;
      }
    },
    owed: () => select(() => true),
    stale: (nowMs) =>
      select(({ everyMs, seenAt }) => nowMs - Math.max(beganAt, seenAt ?? beganAt) >= missedMax * everyMs),
  };
}
