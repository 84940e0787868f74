import { emitKeypressEvents } from 'node:readline';
import { paint, type Line } from './ansi.ts';
import type { Size } from './view.ts';

const enter = '\u001b[?1049h\u001b[?25l\u001b[2J';
const leave = '\u001b[?25h\u001b[?1049l';
/** Synchronized update: a terminal that knows it shows the whole picture at once. */
const beginPicture = '\u001b[?2026h';
const endPicture = '\u001b[?2026l';

/** The terminal as a full screen: what was there before comes back when it is closed, however the process ends. */
export class Screen {
  #shown: string[] = [];
  readonly #input = process.stdin;
  readonly #output = process.stdout;
  readonly #restore = (): void => {
    this.#output.write(leave);
  };

  /** `onKey` gets the name of each key, `ctrl-c` among them: in raw mode it raises no signal. */
  constructor(onKey: (name: string) => void) {
    process.once('exit', this.#restore);
    this.#output.write(enter);
    this.#output.on('resize', this.#forget);
    if (!this.#input.isTTY) return;
    // A terminal that hangs up fails on its next read or mode change; SIGHUP tells the rest.
    this.#input.on('error', () => {});
    emitKeypressEvents(this.#input);
    this.#input.setRawMode(true);
    this.#input.on('keypress', (_, key: { name?: string; ctrl?: boolean }) => {
      onKey(`${key.ctrl ? 'ctrl-' : ''}${key.name ?? ''}`);
    });
  }

  get size(): Size {
    // A terminal without a set size reports zero.
    return { columns: this.#output.columns || 80, rows: this.#output.rows || 24 };
  }

  /** Draws what has changed. Skips a picture where the terminal has not yet taken the last one. */
  draw(lines: readonly Line[]): void {
    if (this.#output.writableNeedDrain) return;
    const painted = lines.map(paint);
    const changed = painted.flatMap((line, row) =>
      line === this.#shown[row] ? [] : [`\u001b[${row + 1};1H${line}`],
    );
    this.#shown = painted;
    if (changed.length > 0) this.#output.write(`${beginPicture}${changed.join('')}${endPicture}`);
  }

  close(): void {
    process.off('exit', this.#restore);
    this.#output.off('resize', this.#forget);
    this.#restore();
    if (!this.#input.isTTY) return;
    this.#input.setRawMode(false);
    this.#input.removeAllListeners('keypress');
    this.#input.pause();
  }

  readonly #forget = (): void => {
    this.#shown = [];
    this.#output.write('\u001b[2J');
  };
}
