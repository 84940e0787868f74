import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { MerestoneError } from '../base/error.ts';
import { isSegment } from '../messages/segment.ts';
import type { Origin } from '../messages/topic.ts';
import { firstPrev, type EvidenceLine } from './evidence.ts';

/** A line is an event with its proof at most, in JSON in JSON; only an earlier version wrote longer ones. */
const lineBytesMax = 4 * 1024 * 1024;
const chunkBytes = 256 * 1024;

/** A line as it is read. */
export type ReadLine =
  | { kind: 'line'; line: EvidenceLine; intact: boolean; place: string }
  /** No line of ours. */
  | { kind: 'broken'; place: string }
  /** Too long to be read; whether it follows from the one before cannot be told. */
  | { kind: 'too-long'; place: string; bytes: number };

/** Whose evidence lies in `folder`. Throws FileNotFound. */
export function gatewaysIn(folder: string): Origin[] {
  return list(folder, isSegment).flatMap((tenant) =>
    list(join(folder, tenant), isSegment).map((gateway) => ({ tenant, gateway })),
  );
}

/**
 * One gateway's lines of the months from `from` to `to` (ms since 1970 UTC), in order, one at a time in a constant
 * amount of memory: those in between are `intact` where they follow from the line before.
 */
export function* readLines(
  folder: string,
  { tenant, gateway }: Origin,
  from: number,
  to: number,
): Generator<ReadLine> {
  const own = join(folder, tenant, gateway);
  const [first, last] = [from, to].map((ms) => new Date(ms).toISOString().slice(0, 7));
  const months = list(own, (name) => /^\d{4}-\d{2}\.ndjson$/.test(name));
  for (const name of months) {
    if (name.slice(0, 7) < first! || name.slice(0, 7) > last!) continue;
    yield* readMonth(join(own, name));
  }
}

function* readMonth(path: string): Generator<ReadLine> {
  let prev = firstPrev;
  let number = 0;
  for (const { text, bytes, sha256 } of rawLines(path)) {
    const place = `${path}:${++number}`;
    const line = text === undefined ? undefined : parseLine(text);
    if (text === undefined) yield { kind: 'too-long', place, bytes };
    else if (line === undefined) yield { kind: 'broken', place };
    else yield { kind: 'line', line, intact: line.prev === prev, place };
    prev = sha256;
  }
}

/** Lines without their ends; `text` is undefined where one is too long to be held. */
function* rawLines(path: string): Generator<{ text: string | undefined; bytes: number; sha256: string }> {
  const file = openSync(path, 'r');
  try {
    const chunk = Buffer.alloc(chunkBytes);
    let parts: Buffer[] = [];
    let bytes = 0;
    let hash = createHash('sha256');
    const add = (part: Buffer): void => {
      hash.update(part);
      bytes += part.length;
      if (bytes <= lineBytesMax) parts.push(Buffer.from(part));
      else parts = [];
    };
    const line = () => ({
      text: bytes <= lineBytesMax ? Buffer.concat(parts).toString() : undefined,
      bytes,
      sha256: hash.digest('hex'),
    });
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0 && end < read; end = chunk.indexOf(0x0a, start)) {
        add(chunk.subarray(start, end));
        yield line();
        [parts, bytes, hash] = [[], 0, createHash('sha256')];
        start = end + 1;
      }
      add(chunk.subarray(start, read));
    }
    if (bytes > 0) yield line();
  } finally {
    closeSync(file);
  }
}

function parseLine(text: string): EvidenceLine | undefined {
  try {
    const line = JSON.parse(text) as EvidenceLine;
    const proper = Number.isFinite(line.at) && ('finding' in line || typeof line.message === 'string');
    return proper ? line : undefined;
  } catch {
    return undefined;
  }
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
