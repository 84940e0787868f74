export interface Cell {
  text: string;
  /** Applied after padding, so that colour codes don't count as columns. */
  paint?: (text: string) => string;
}

/** Rows of cells → lines, each column as wide as its widest cell; two spaces between; the last one ragged. */
export function layOut(
  rows: readonly (readonly Cell[])[],
  numeric: ReadonlySet<number>,
  indent: string,
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, { text }] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, text.length);
  }
  return rows.map((row) => {
    const cells = row.map(({ text, paint }, column) => {
      const width = column === row.length - 1 && !numeric.has(column) ? 0 : widths[column]!;
      const padded = numeric.has(column) ? text.padStart(width) : text.padEnd(width);
      return paint === undefined ? padded : paint(padded);
    });
    return `${indent}${cells.join('  ')}`.trimEnd();
  });
}
