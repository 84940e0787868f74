/** Beyond a third of the letters, a word is another word and no slip of the finger. */
const slipShareMax = 1 / 3;

/** The one of `names` that `typed` was most likely meant to be, or undefined where none is near. */
export function nearestName(typed: string, names: Iterable<string>): string | undefined {
  if (typed.length > 64) return undefined;
  const wanted = fold(typed);
  let best: { name: string; distance: number } | undefined;
  for (const name of names) {
    const candidate = fold(name);
    const limit = Math.max(1, Math.floor(Math.max(wanted.length, candidate.length) * slipShareMax));
    const distance = editDistance(wanted, candidate);
    if (distance <= limit && distance < (best?.distance ?? Infinity)) best = { name, distance };
  }
  return best?.name;
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
