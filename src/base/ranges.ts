/**
 * A set of whole numbers as ascending runs [from, to], both ends included, that neither meet nor overlap.
 * A million waiting batches are one run. Values are never changed: each function returns a new one.
 */
export type Runs = readonly (readonly [from: number, to: number])[];

export function countOf(runs: Runs): number {
  return runs.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

export function has(runs: Runs, member: number): boolean {
  return runs.some(([from, to]) => from <= member && member <= to);
}

/** Of members that come in ascending order. */
export function runsOf(members: Iterable<number>): Runs {
  const runs: [number, number][] = [];
  for (const member of members) {
    const last = runs.at(-1);
    if (last !== undefined && member <= last[1] + 1) last[1] = member;
    else runs.push([member, member]);
  }
  return runs;
}

/** What is in `runs` and not in `others`. */
export function difference(runs: Runs, others: Runs): Runs {
  let rest: Runs = runs;
  for (const [from, to] of others) {
    rest = rest.flatMap(([start, end]): Runs => {
      if (to < start || from > end) return [[start, end]];
      const left: Runs = start < from ? [[start, from - 1]] : [];
      const right: Runs = to < end ? [[to + 1, end]] : [];
      return [...left, ...right];
    });
  }
  return rest;
}

/** Of sets that have no member in common; its runs may meet. */
export function unionOf(...sets: readonly Runs[]): Runs {
  return sets.flat().sort(([a], [b]) => a - b);
}

export function withMember(runs: Runs, member: number): Runs {
  if (has(runs, member)) return runs;
  const below = runs.filter(([, to]) => to < member);
  const above = runs.filter(([from]) => from > member);
  let [from, to] = [member, member];
  if (below.at(-1)?.[1] === member - 1) from = below.pop()![0];
  if (above[0]?.[0] === member + 1) to = above.shift()![1];
  return [...below, [from, to], ...above];
}

export function withoutMember(runs: Runs, member: number): Runs {
  return difference(runs, [[member, member]]);
}

/** The members from `start` upwards. */
export function* ascending(runs: Runs, start = 0): Generator<number> {
  for (const [from, to] of runs) {
    for (let member = Math.max(from, start); member <= to; member += 1) yield member;
  }
}
