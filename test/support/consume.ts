import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Row } from '../../src/backend/row.ts';

const program = join(import.meta.dirname, '../../src/cli/merestone.js');

/** Enough for every condition, also on a busy machine. */
export async function until(what: string | (() => string), condition: () => unknown): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`never: ${typeof what === 'string' ? what : what()}`);
}

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
      () => `connected: ${JSON.stringify(this.notices)}`,
      () => this.notice('connected'),
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
