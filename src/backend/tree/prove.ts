import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MerestoneError } from '../../base/error.ts';
import type { Origin } from '../../messages/topic.ts';
import { readLines } from '../evidence-reader.ts';
import { headsName } from './gateway-tree.ts';
import { readHeads, type FiledHead } from './head-file.ts';
import { consistencySpans, inclusionSpans, proofOf } from './merkle-tree.ts';

/** What is to be proved of a gateway's newest head. */
export type Claim =
  /** That a line is under it; the first is 1. */
  | { line: number }
  /** Proof that it goes on from the head of this many lines. */
  | { since: number };

export interface Proof {
  head: FiledHead;
  /** RFC 9162 §2.1.3 or §2.1.4. */
  hashes: Buffer[];
}

/** Reads all lines once. Throws FileNotFound, Usage where there is no such line or head, Io where lines are gone. */
export function prove(folder: string, origin: Origin, claim: Claim): Proof {
  const own = join(folder, origin.tenant, origin.gateway);
  const path = join(own, headsName);
  if (!existsSync(own)) {
    throw new MerestoneError('FileNotFound', 'there is no evidence of this gateway', {
      subject: own,
      hint: 'correct --tenant and --gateway',
    });
  }
  let head: FiledHead | undefined;
  for (const record of readHeads(path)) if (record.kind === 'head') head = record;
  const size = head?.head.size ?? 0;
  const wanted = 'line' in claim ? claim.line : claim.since;
  if (head === undefined || !Number.isSafeInteger(wanted) || wanted < 1 || wanted > size) {
    throw new MerestoneError('Usage', `the newest head is of ${size} lines, and has no ${wanted}`);
  }
  const spans = 'line' in claim ? inclusionSpans(claim.line - 1, size) : consistencySpans(claim.since, size);
  const hashes = proofOf(leavesOf(folder, origin), spans);
  if (hashes === undefined) {
    throw new MerestoneError('Io', `the newest head is of ${size} lines, and there are fewer`, {
      subject: own,
      hint: 'see what merestone backend report says of this evidence',
    });
  }
  return { head, hashes };
}

function* leavesOf(folder: string, origin: Origin): Generator<Buffer> {
  for (const { leaf } of readLines(folder, origin)) yield leaf;
}
