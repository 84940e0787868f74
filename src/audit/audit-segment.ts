import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MerestoneError } from '../base/error.ts';

export interface Segment {
  number: number;
  path: string;
}

const namePattern = /^audit-(\d{6})\.ndjson$/;

/** The folder of a log, below the folder of its tenant and gateway, or of a silo without an identity. */
export function auditDirectory(owner: string): string {
  return join(owner, 'audit');
}

export function segmentPath(directory: string, number: number): string {
  return join(directory, `audit-${String(number).padStart(6, '0')}.ndjson`);
}

/** The segments of a log, oldest first; empty if there is no log. Throws Io. */
export function listSegments(directory: string): Segment[] {
  try {
    return readdirSync(directory)
      .flatMap((name) => namePattern.exec(name)?.[1] ?? [])
      .map((digits) => ({ number: Number(digits), path: segmentPath(directory, Number(digits)) }))
      .sort((a, b) => a.number - b.number);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw auditIo('cannot be read', directory, error);
  }
}

/** The lines of a segment, and the bytes after the last line's end: empty unless the last line is truncated. */
export function readLines(path: string): { lines: Buffer[]; rest: Buffer } {
  const bytes = readSegment(path);
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return { lines, rest: bytes.subarray(start) };
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function auditIo(what: string, path: string, cause: unknown): MerestoneError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MerestoneError('Io', `the audit log ${what} (${reason})`, {
    subject: path,
    hint: 'check the disk and who may write there',
    cause,
  });
}

function readSegment(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw auditIo('cannot be read', path, error);
  }
}
