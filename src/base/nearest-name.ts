/** Beyond a third of the letters, a different word was meant, and it is no typing error. */
const slipShareMax = 1 / 3;

/** In a shorter word every letter counts: `no` is not `on`. */
const lettersMin = 4;

/**
 * The one of `names` that `typed` was most likely meant to be, or undefined where none is near, or several are as
 * near. A digit is never a slip: `voltage_l4` is not `voltage_l1`, nor `int61` one of `int16` and `int64`: a
 * user who followed such a hint would get another value without noticing.
 */
export function nearestName(typed: string, names: Iterable<string>): string | undefined {
  if (typed.length > 64) return undefined;
  const wanted = fold(typed);
  let best: { name: string; distance: number; isTied: boolean } | undefined;
  for (const name of names) {
    const candidate = fold(name);
    if (digitsOf(candidate) !== digitsOf(wanted)) continue;
    const length = Math.max(wanted.length, candidate.length);
    const limit = length < lettersMin ? 0 : Math.floor(length * slipShareMax);
    const distance = editDistance(wanted, candidate);
    if (distance > limit || distance > (best?.distance ?? Infinity)) continue;
    best = { name, distance, isTied: distance === best?.distance };
  }
  return best === undefined || best.isTied ? undefined : best.name;
}

function digitsOf(name: string): string {
  return name.replace(/\D/g, '');
}

/** `baud_rate`, `baud-rate` and `BaudRate` are one word. */
function fold(name: string): string {
  return name.replace(/[-_ ]/g, '').toLowerCase();
}

/** Optimal string alignment: insertions, deletions, substitutions and swapped neighbours count one each. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, rows[i - 2]![j - 2]! + 1);
      }
      row.push(cost);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
