import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Judgement } from '../../src/status/verdict/verdict.ts';
import { runCommand } from './daemon.ts';

/** The verdict of one daemon at every place that shows it. */
export interface Outlets {
  code: number;
  health: { verdict: string; healthy: boolean; reasons: string[] };
  exitCode: number | null;
  json: Judgement;
  text: string;
  page: string;
  metrics: string;
}

const flags =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --virtual-time-budget=3000 --dump-dom';

/** Asks until all agree: the verdict may change while one after the other is asked. */
export async function askAlike(config: string, base: string): Promise<Outlets> {
  for (let triesLeft = 4; ; triesLeft -= 1) {
    const outlets = await askEverywhere(config, base);
    try {
      assertAlike(outlets);
      return outlets;
    } catch (error) {
      if (triesLeft === 0) throw error;
    }
  }
}

async function askEverywhere(config: string, base: string): Promise<Outlets> {
  const [answer, { stdout, exitCode }, { stdout: text }, page] = await Promise.all([
    fetch(`${base}/healthz`),
    runCommand(['status', '--json', '--config', config]),
    runCommand(['status', '--config', config]),
    textOfPage(base),
  ]);
  const health = (await answer.json()) as Outlets['health'];
  return {
    code: answer.status,
    health,
    exitCode,
    json: JSON.parse(stdout) as Judgement,
    text,
    page,
    metrics: await (await fetch(`${base}/metrics`)).text(),
  };
}

/** All of them agree: the same verdict, for the same reasons. */
function assertAlike({ code, health, exitCode, json, text, page, metrics }: Outlets): void {
  const number = ['good', 'degraded', 'failing'].indexOf(health.verdict);
  assert.equal(code, number === 2 ? 503 : 200);
  assert.equal(health.healthy, number < 2);
  assert.deepEqual([json.verdict, exitCode], [health.verdict, number]);
  assert.match(text, new RegExp(`^${health.verdict}: `, 'm'));
  assert.match(page, new RegExp(`[●▲■]?\\s*${health.verdict}`));
  assert.match(metrics, new RegExp(`^merestone_verdict ${number}$`, 'm'));
  // They were asked one after the other: ages have grown.
  const told = health.reasons.map(ageless);
  assert.deepEqual(json.reasons.map(ageless), told);
  for (const reason of told) assert.ok(ageless(page).includes(reason), `${reason}\n${ageless(page)}`);
  for (const { who, what, remedy } of json.findings) {
    const line = ageless(`${who} ${what}`);
    assert.ok(ageless(text).includes(line), `${line}\n${text}`);
    assert.ok(ageless(text).includes(ageless(remedy)), remedy);
  }
}

/**
 * Ages and figures go on while everything is asked, and of devices that share a bus alike, now one is busiest, now
 * another.
 */
function ageless(text: string): string {
  return text
    .replace(/\d[\d.,]*/g, 'N')
    .replace(/\bN (ms|s|min|h)\b/g, 'N T')
    .replace(/\bread '[^']+' less often/g, "read 'D' less often");
}

/** The text of the page after its first refresh. */
async function textOfPage(base: string): Promise<string> {
  const profile = await mkdtemp(join(tmpdir(), 'merestone-chromium-'));
  try {
    const words = [...flags.split(' '), `--user-data-dir=${profile}`, `${base}/`];
    const { stdout } = await promisify(execFile)('chromium', words, {
      timeout: 60_000,
      maxBuffer: 10_000_000,
    });
    const [, body = ''] = /<body>(.*?)<script>/s.exec(stdout) ?? [];
    return body
      .replace(/<[^>]*>/g, '')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&');
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
