/** Colours of the 256-colour palette, which every terminal understands. */
export const ansi = {
  text: 252,
  quiet: 245,
  faint: 241,
  good: 114,
  warn: 221,
  bad: 203,
  light: 255,
} as const;

/** A run of text in one colour. Every character must be one column wide. */
export interface Span {
  text: string;
  colour: number;
  bold?: boolean;
}

export type Line = readonly Span[];

export function span(text: string, colour: number = ansi.text): Span {
  return { text, colour };
}

export function bold(text: string, colour: number = ansi.light): Span {
  return { text, colour, bold: true };
}

export function widthOf(line: Line): number {
  return line.reduce((width, { text }) => width + text.length, 0);
}

/** The line cut or filled with blanks to exactly `width` columns. */
export function fit(line: Line, width: number): Line {
  const fitted: Span[] = [];
  let left = width;
  for (const each of line) {
    if (left <= 0) break;
    fitted.push(each.text.length <= left ? each : { ...each, text: each.text.slice(0, left) });
    left -= each.text.length;
  }
  return left > 0 ? [...fitted, span(' '.repeat(left))] : fitted;
}

/** `left` and `right` at the two ends of `width` columns; `right` is left out where there is no room for both. */
export function spread(left: Line, right: Line, width: number): Line {
  const gap = width - widthOf(left) - widthOf(right);
  return gap < 1 ? fit(left, width) : [...left, span(' '.repeat(gap)), ...right];
}

/** As escape sequences. */
export function paint(line: Line): string {
  const painted = line.map(({ text, colour, bold: strong }) =>
    text.trim() === '' ? text : `\u001b[${strong ? '1;' : ''}38;5;${colour}m${text}\u001b[0m`,
  );
  return painted.join('');
}
