import { once } from 'node:events';
import { plain, plainJson } from '../base/plain-text.ts';

/** Writes to standard output and waits for a slow reader, so that no backlog grows in memory. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)) await once(process.stdout, 'drain');
}

/** One JSON document, on one line. */
export async function printJson(document: unknown): Promise<void> {
  await print(plainJson(document));
}

/** A line for the user that is no result: it goes to standard error. Further lines are indented. */
export function remark(text: string): void {
  process.stderr.write(`merestone: ${text.split('\n').map(plain).join('\n  ')}\n`);
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const codes: Record<Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Colours if standard output is a terminal that wants them (https://no-color.org). */
export function styler(coloured: boolean = wantsColour()): (style: Style, text: string) => string {
  return (style, text) => {
    if (!coloured) return text;
    const [on, off] = codes[style];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  };
}

function wantsColour(): boolean {
  return process.stdout.isTTY && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
}
