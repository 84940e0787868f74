import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Daemon, eventually, runCommand } from './daemon.ts';
import type { Site } from './site.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/symptoms.md'), 'utf8');

/** The page's text for a symptom, and where it is shown. */
export interface Row {
  title: string;
  where: string;
  words: RegExp;
}

/** The rows below a heading of docs/symptoms.md. */
export function rowsOf(heading: string): Map<string, Row> {
  const chapter = page.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!;
  const lines = chapter.split('\n').filter((line) => line.startsWith('| '));
  return new Map(
    lines.slice(1).map((line): [string, Row] => {
      const [title = '', where = '', words = ''] = line.slice(2, -2).split(' | ');
      const parts = words.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
      return [title, { title, where, words: new RegExp(`^${parts.join('.*')}`) }];
    }),
  );
}

/** Waits until the verdict has the page's text for each of these; then the command's text has it as well. */
export async function assertTold(
  site: Site,
  daemon: Daemon,
  told: { who: string; row: Row }[],
): Promise<void> {
  const port = await eventually(
    'the port in the log',
    () => daemon.log.find(({ event }) => event === 'http listens')?.['port'] as number | undefined,
  );
  const missingIn = (sentences: readonly string[]): string[] =>
    told
      .filter(({ who, row }) => !sentences.some((each) => each.startsWith(`${who} `) && row.words.test(each)))
      .map(({ who, row }) => {
        const said = sentences.filter((each) => each.startsWith(`${who} `));
        return `\n${row.title}\n  page: ${row.words.source}\n  told: ${said.join('\n        ')}`;
      });
  await eventually(
    'every sentence of the page',
    async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/healthz`);
      const { reasons } = (await answer.json()) as { reasons: string[] };
      const missing = missingIn(reasons);
      if (missing.length > 0) throw new Error(missing.join(''));
      return true;
    },
    75_000,
  );
  // A bus that is opened again and again is between two states at times.
  await eventually(
    'every sentence in the status command',
    async () => {
      const { stdout } = await runCommand(['status', '--config', site.config]);
      const sentences = stdout.replaceAll(/\n {12}/g, '; ').split('\n');
      const missing = missingIn(sentences.map((line) => line.replace(/^ {2}(failing|degraded) +/, '')));
      if (missing.length > 0) throw new Error(missing.join(''));
      return true;
    },
    30_000,
  );
}
