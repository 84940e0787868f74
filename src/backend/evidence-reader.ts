import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { MerestoneError } from '../base/error.ts';
import { isSegment } from '../messages/segment.ts';
import type { Origin } from '../messages/topic.ts';
import { firstPrev, monthsIn, rawLines } from './evidence-file.ts';
import type { EvidenceLine } from './evidence.ts';

/** A line as it is read; `leaf` is what stands for it in the gateway's tree. */
export type ReadLine = { leaf: Buffer } & (
  | { kind: 'line'; line: EvidenceLine; intact: boolean; place: string }
  /** No line of ours. */
  | { kind: 'broken'; place: string }
  /** Too long to be read; whether it follows from the one before cannot be told. */
  | { kind: 'too-long'; place: string; bytes: number }
);

/** Whose evidence lies in `folder`. Throws FileNotFound. */
export function gatewaysIn(folder: string): Origin[] {
  return list(folder, isSegment).flatMap((tenant) =>
    list(join(folder, tenant), isSegment).map((gateway) => ({ tenant, gateway })),
  );
}

/**
 * One gateway's lines of all months, in order, one at a time in a constant amount of memory: those in between are
 * `intact` where they follow from the line before.
 */
export function* readLines(folder: string, { tenant, gateway }: Origin): Generator<ReadLine> {
  const own = join(folder, tenant, gateway);
  for (const name of monthsIn(own)) yield* readMonth(join(own, name));
}

function* readMonth(path: string): Generator<ReadLine> {
  let prev = firstPrev;
  let number = 0;
  for (const { text, bytes, sha256, leaf } of rawLines(path)) {
    const place = `${path}:${++number}`;
    const line = text === undefined ? undefined : parseLine(text);
    if (text === undefined) yield { kind: 'too-long', place, leaf, bytes };
    else if (line === undefined) yield { kind: 'broken', place, leaf };
    else yield { kind: 'line', line, intact: line.prev === prev, place, leaf };
    prev = sha256;
  }
}

function parseLine(text: string): EvidenceLine | undefined {
  try {
    const line: unknown = JSON.parse(text);
    return isLine(line) ? line : undefined;
  } catch {
    return undefined;
  }
}

function isLine(value: unknown): value is EvidenceLine {
  const { at, finding, batch, message, outcome } = (value ?? {}) as Record<string, unknown>;
  if (!Number.isFinite(at)) return false;
  if (finding !== undefined) return typeof finding === 'object' && finding !== null;
  if (batch === undefined) return typeof message === 'string' && typeof outcome === 'string';
  const { epoch, seq, sha256, rows, rowsSha256 } = (batch ?? {}) as Record<string, unknown>;
  const hasTexts = [epoch, sha256, rowsSha256].every((text) => typeof text === 'string');
  return hasTexts && Number.isSafeInteger(seq) && Number.isSafeInteger(rows);
}

function list(folder: string, isOurs: (name: string) => boolean): string[] {
  try {
    return readdirSync(folder).filter(isOurs).sort();
  } catch (cause) {
    throw new MerestoneError('FileNotFound', 'there is no evidence here', {
      subject: folder,
      hint: 'name the folder that consume was given as --evidence',
      cause,
    });
  }
}
