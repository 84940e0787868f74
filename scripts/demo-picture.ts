// Makes docs/demo.svg from a real run of the demo, in a tmux of its own: node scripts/demo-picture.ts [FILE]
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ansiToSvg } from './ansi-svg.ts';

const root = join(import.meta.dirname, '..');
const columns = 104;
const rows = 34;
/** Readings flow; then the broker is away; then the backlog has come through, and the sparklines show it. */
const playMs = 30_000;
const outageMs = 3000;
const afterMs = 5000;
/** For the uplinks to come back, and for the demo to leave. */
const timeoutMs = 40_000;

const socket = `merestone-picture-${process.pid}`;
const tmux = (...words: string[]): string =>
  execFileSync('tmux', ['-L', socket, ...words], { encoding: 'utf8' });

const demo = `${join(root, 'scripts/merestone')} demo`;
tmux('-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', String(rows), demo);
tmux('set', 'status', 'off');
await pause(playMs);
tmux('send-keys', 'b');
await pause(outageMs);
tmux('send-keys', 'b');
await until(() => /● online.*● online/.test(tmux('capture-pane', '-p')));
await pause(afterMs);
const screen = tmux('capture-pane', '-e', '-p');
tmux('send-keys', 'q');
writeFileSync(process.argv[2] ?? join(root, 'docs/demo.svg'), ansiToSvg(screen, columns));

// tmux ends with its only window.
await until(() => !isRunning());

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && !condition()) await pause(200);
}

function isRunning(): boolean {
  try {
    tmux('has-session');
    return true;
  } catch {
    return false;
  }
}
