import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Row } from '../../src/backend/row.ts';
import { until } from './until.ts';

const program = join(import.meta.dirname, '../../src/cli/merestone.js');

export type Document = Record<string, unknown> & { kind: string };

/** A running `merestone consume --json`. */
export class Consume {
  readonly rows: Row[] = [];
  readonly notices: Document[] = [];
  readonly child: ChildProcess;
  readonly #closed: Promise<unknown[]>;

  constructor(words: readonly string[]) {
    this.child = spawn(process.execPath, [program, 'consume', '--json', ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    createInterface(this.child.stdout!).on('line', (line) => this.rows.push(JSON.parse(line) as Row));
    createInterface(this.child.stderr!).on('line', (line) => {
      this.notices.push(line.startsWith('{') ? (JSON.parse(line) as Document) : { kind: 'text', line });
    });
    this.#closed = once(this.child, 'close');
  }

  kinds(): string[] {
    return this.notices.map(({ kind }) => kind);
  }

  notice(kind: string): Document | undefined {
    return this.notices.find((each) => each.kind === kind);
  }

  connected(): Promise<void> {
    return until(
      () => this.notice('connected'),
      () => `connected: ${JSON.stringify(this.notices)}`,
    );
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal);
    const [code] = await this.#closed;
    return code as number | null;
  }

  async ended(): Promise<number | null> {
    const [code] = await this.#closed;
    return code as number | null;
  }
}
