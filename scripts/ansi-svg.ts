/** A screen of text with SGR escape sequences (256 colours, bold) as an SVG picture of a dark terminal. */
export function ansiToSvg(screen: string, columns: number): string {
  const lines = screen.replace(/\n+$/, '').split('\n');
  const width = columns * cell.width + 2 * border.x;
  const height = lines.length * cell.height + border.top + border.bottom;
  const body = lines.flatMap((line, row) => runsOf(line).map((run) => drawRun(run, row))).join('\n');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>Merestone's demo in a terminal: two tenants' readings go from the buses to the backend</title>
<style>text{font:${cell.font}px ui-monospace,'DejaVu Sans Mono','SF Mono',Menlo,Consolas,monospace;white-space:pre}.b{font-weight:700}</style>
<rect width="${width}" height="${height}" rx="10" fill="${background}"/>
<circle cx="20" cy="19" r="5.5" fill="#ed6a5e"/><circle cx="38" cy="19" r="5.5" fill="#f4bf4f"/><circle cx="56" cy="19" r="5.5" fill="#61c554"/>
${body}
</svg>
`;
}

const cell = { width: 8.4, height: 18, font: 14, baseline: 13.5 };
const border = { x: 14, top: 40, bottom: 14 };
const background = '#14171c';

interface Run {
  text: string;
  column: number;
  colour: string;
  bold: boolean;
}

function runsOf(line: string): Run[] {
  const runs: Run[] = [];
  let style = { colour: palette(252), bold: false };
  let column = 0;
  const take = (text: string): void => {
    if (text.trim() !== '') runs.push({ text, column, ...style });
    column += text.length;
  };
  const [start, ...styled] = line.split('\u001b[');
  take(start!);
  for (const part of styled) {
    const end = part.indexOf('m');
    style = restyle(style, part.slice(0, end).split(';').map(Number));
    take(part.slice(end + 1));
  }
  return runs;
}

type Style = Pick<Run, 'colour' | 'bold'>;

function restyle(style: Style, codes: readonly number[]): Style {
  let { colour, bold } = style;
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index]!;
    if (code === 0 || code === 39) colour = palette(252);
    if (code === 0 || code === 22) bold = false;
    if (code === 1) bold = true;
    if (code === 38 && codes[index + 1] === 5) {
      colour = palette(codes[index + 2]!);
      index += 2;
    }
  }
  return { colour, bold };
}

/** xterm's 6 × 6 × 6 cube and its greys; the first sixteen are a terminal's own, which the demo leaves alone. */
function palette(index: number): string {
  if (index >= 232) return rgb(...(Array(3).fill(8 + (index - 232) * 10) as [number, number, number]));
  const level = (digit: number): number => (digit === 0 ? 0 : 55 + digit * 40);
  const cube = index - 16;
  return rgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function rgb(...channels: [number, number, number]): string {
  return `#${channels.map((channel) => channel.toString(16).padStart(2, '0')).join('')}`;
}

/**
 * Letters as text, each at its own column; lines, bars and blocks as shapes, so that they join in any font the
 * reader's machine has.
 */
function drawRun({ text, column, colour, bold }: Run, row: number): string {
  const x = (index: number): number => round(border.x + (column + index) * cell.width);
  const top = border.top + row * cell.height;
  const shapes = text
    .split('')
    .map((character, index) => drawCell(character, x(index), top, colour))
    .join('');
  const letters = text
    .split('')
    .map((character) => (isDrawn(character) ? ' ' : character))
    .join('');
  if (letters.trim() === '') return shapes;
  const words = [...letters.matchAll(/\S+(?: \S+)*/g)].map((match) => {
    const length = round(match[0].length * cell.width);
    const place = `x="${x(match.index)}" y="${top + cell.baseline}" textLength="${length}"`;
    return `<text ${place} fill="${colour}"${bold ? ' class="b"' : ''}>${escape(match[0])}</text>`;
  });
  return shapes + words.join('');
}

/** Box-drawing characters as the sides of the cell that they reach: left, right, up, down. */
const strokes: Record<string, string> = {
  '─': 'lr',
  '│': 'ud',
  '├': 'rud',
  '┤': 'lud',
  '┼': 'lrud',
};
/** Arcs between two sides: the horizontal one, then the vertical one. */
const arcs: Record<string, string> = { '╭': 'rd', '╮': 'ld', '╰': 'ru', '╯': 'lu' };
const dashes: Record<string, number> = { '┄': 3, '┈': 4 };
const bars = '▁▂▃▄▅▆▇█';

function isDrawn(character: string): boolean {
  return (
    character in strokes ||
    character in arcs ||
    character in dashes ||
    bars.includes(character) ||
    '░▌'.includes(character)
  );
}

function drawCell(character: string, x: number, y: number, colour: string): string {
  const { width: w, height: h } = cell;
  const [cx, cy] = [round(x + w / 2), y + h / 2];
  const path = (d: string): string => `<path d="${d}" fill="none" stroke="${colour}" stroke-width="1.2"/>`;
  const box = (bx: number, by: number, bw: number, bh: number, opacity = 1): string =>
    `<rect x="${round(bx)}" y="${round(by)}" width="${round(bw)}" height="${round(bh)}" fill="${colour}"${opacity < 1 ? ` opacity="${opacity}"` : ''}/>`;
  const ends: Record<string, string> = { l: `H${x}`, r: `H${round(x + w)}`, u: `V${y}`, d: `V${y + h}` };
  if (character in strokes)
    return path(
      strokes[character]!.split('')
        .map((side) => `M${cx} ${cy}${ends[side]}`)
        .join(''),
    );
  if (character in arcs) {
    const [across, along] = arcs[character]!.split('') as [string, string];
    const fromX = across === 'l' ? x : round(x + w);
    return path(`M${fromX} ${cy}Q${cx} ${cy} ${cx} ${along === 'u' ? cy - w / 2 : cy + w / 2}${ends[along]}`);
  }
  if (character in dashes) {
    const step = w / dashes[character]!;
    return (
      box(x, cy - 0.6, step * 0.55, 1.2) +
      Array.from({ length: dashes[character]! - 1 }, (_, index) =>
        box(x + step * (index + 1), cy - 0.6, step * 0.55, 1.2),
      ).join('')
    );
  }
  if (bars.includes(character)) {
    const tall = ((bars.indexOf(character) + 1) / bars.length) * (h - 4);
    return box(x, y + h - 2 - tall, w - 0.8, tall);
  }
  if (character === '░') return box(x, y + 2, w - 0.8, h - 4, 0.55);
  if (character === '▌') return box(x, y + 2, 3, h - 4);
  return '';
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
