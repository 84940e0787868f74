import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * A dialogue on a line as text, one step a line; `#` begins a comment.
 *
 *     >> 01 03 00 0A 00 02 E4 09     what Merestone must send, byte for byte
 *     << 01 03 04 "AB" 00 01 0B C4   what the device sends: hex, or text in quotes as in JSON
 *     << +250ms 01 03                the same, that much later than the step before
 *     == {"values":{"a":1}}          what must come of it
 *
 * The replaying side plays the device; `expected` is for the test to compare.
 */
export interface Transcript {
  steps: TranscriptStep[];
  expected: unknown[];
}

export interface TranscriptStep {
  kind: 'expect' | 'send';
  afterMs: number;
  bytes: Buffer;
  line: number;
}

const stepPattern = /^(>>|<<)\s+(?:\+(\d+)ms\s*)?(.*)$/;
const bytesPattern = /"(?:[^"\\]|\\.)*"|[0-9a-f]{2}(?![0-9a-f])/gi;

export function parseTranscript(text: string): Transcript {
  const transcript: Transcript = { steps: [], expected: [] };
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    if (raw.startsWith('==')) {
      transcript.expected.push(JSON.parse(raw.slice(2)));
      continue;
    }
    const content = raw.replace(/#(?=(?:[^"]*"[^"]*")*[^"]*$).*/, '').trim();
    if (content === '') continue;
    const match = stepPattern.exec(content);
    if (!match) throw new Error(`line ${line} is no step: ${raw}`);
    const bytes = bytesIn(match[3]!, line);
    transcript.steps.push({
      kind: match[1] === '>>' ? 'expect' : 'send',
      afterMs: Number(match[2] ?? 0),
      bytes,
      line,
    });
  }
  return transcript;
}

function bytesIn(text: string, line: number): Buffer {
  const rest = text.replace(bytesPattern, '').trim();
  if (rest !== '') throw new Error(`line ${line}: '${rest}' is neither hex nor quoted text`);
  const parts = text.match(bytesPattern) ?? [];
  return Buffer.concat(
    parts.map((part) =>
      part.startsWith('"') ? Buffer.from(JSON.parse(part) as string, 'latin1') : Buffer.from(part, 'hex'),
    ),
  );
}

export function readTranscript(name: string): Transcript {
  return parseTranscript(readFileSync(new URL(`../transcripts/${name}`, import.meta.url), 'utf8'));
}

/**
 * Plays the device on one end of a line. Resolves when every step has been played; rejects where something
 * else was sent than the transcript has, or nothing within `withinMs`.
 */
export async function replay(
  { steps }: Pick<Transcript, 'steps'>,
  farEnd: Duplex,
  withinMs = 10_000,
): Promise<void> {
  let heard = Buffer.alloc(0);
  let wake = (): void => {};
  const listen = (chunk: Buffer): void => {
    heard = Buffer.concat([heard, chunk]);
    wake();
  };
  farEnd.on('data', listen);
  try {
    for (const step of steps) {
      if (step.afterMs > 0) await pause(step.afterMs);
      if (step.kind === 'send') {
        farEnd.write(step.bytes);
        continue;
      }
      const deadline = Date.now() + withinMs;
      while (heard.length < step.bytes.length && Date.now() < deadline) {
        const timeout = new AbortController();
        const more = new Promise<void>((resolve) => {
          wake = resolve;
        });
        await Promise.race([
          more,
          pause(deadline - Date.now(), undefined, { signal: timeout.signal }).catch(() => {}),
        ]);
        timeout.abort();
      }
      const sent = heard.subarray(0, step.bytes.length);
      if (!sent.equals(step.bytes)) {
        throw new Error(
          `line ${step.line}: ${hex(step.bytes)} was to be sent, not ${hex(sent) || 'nothing'}`,
        );
      }
      heard = heard.subarray(step.bytes.length);
    }
  } finally {
    farEnd.off('data', listen);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1 ');
}
