import { createHash } from 'node:crypto';
import type { Steps } from '../base/steps.ts';
import type { Row } from './row.ts';

/** Of a row what both NDJSON and PostgreSQL keep, and what its key does not say. */
export type DigestedRow = Pick<Row, 'device' | 'point' | 'ts' | 'value' | 'unit' | 'quality' | 'clock'>;

/** Rows between two steps. */
const stepRows = 500;

/**
 * SHA-256 over the rows of one batch in their order: of each, as JSON and a line feed,
 * [device, point, ts, value, unit, quality, whether the clock was estimated], with texts as PostgreSQL holds them.
 */
export class RowDigest {
  count = 0;
  readonly #hash = createHash('sha256');

  add({ device, point, ts, value, unit, quality, clock }: DigestedRow): void {
    const texts = [device, point, ts, value, unit, quality].map((member) =>
      typeof member === 'string' ? storable(member) : member,
    );
    this.#hash.update(`${JSON.stringify([...texts, clock === 'estimated'])}\n`);
    this.count++;
  }

  /** base64url. */
  end(): string {
    return this.#hash.digest('base64url');
  }
}

export function* rowDigestSteps(rows: readonly Row[]): Steps<string> {
  const digest = new RowDigest();
  for (const row of rows) {
    digest.add(row);
    if (digest.count % stepRows === 0) yield;
  }
  return digest.end();
}

/** As PostgreSQL holds it: its text has no NUL, and no half of a character; a sensor's may. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD').toWellFormed();
}
