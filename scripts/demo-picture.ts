// Makes docs/demo.svg from a real run of the demo: node scripts/demo-picture.ts [FILE]
// Runs ./scripts/demo in a tmux of its own, lets it play, stops the broker for a while, takes the screen.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ansiToSvg } from './ansi-svg.ts';

const root = join(import.meta.dirname, '..');
const columns = 104;
const rows = 34;
const playMs = 45_000;
const outageMs = 6000;
/** The backlog is drained by then, and still in the sparkline of the rows. */
const afterMs = 3000;

const socket = `merestone-picture-${process.pid}`;
const tmux = (...words: string[]): string =>
  execFileSync('tmux', ['-L', socket, ...words], { encoding: 'utf8' });

tmux(
  '-f',
  '/dev/null',
  'new-session',
  '-d',
  '-x',
  String(columns),
  '-y',
  String(rows),
  join(root, 'scripts/demo'),
);
try {
  tmux('set', 'status', 'off');
  await pause(playMs);
  tmux('send-keys', 'b');
  await pause(outageMs);
  tmux('send-keys', 'b');
  await pause(afterMs);
  const screen = tmux('capture-pane', '-e', '-p');
  writeFileSync(process.argv[2] ?? join(root, 'docs/demo.svg'), ansiToSvg(screen, columns));
  tmux('send-keys', 'q');
  await pause(8000);
} finally {
  try {
    tmux('kill-server');
  } catch {
    // It went with its only window.
  }
}
