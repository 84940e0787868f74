import { existsSync } from 'node:fs';
import type { KeyObject } from 'node:crypto';
import { MerestoneError } from '../../base/error.ts';
import { rawLines } from '../evidence-file.ts';
import { parseNote, parsePublicKey, type SignedNote } from './signed-note.ts';
import { parseHead, type TreeHead } from './tree-head.ts';

/** A head as it stands in a file; `place` is where. */
export interface FiledHead {
  head: TreeHead;
  note: SignedNote;
  place: string;
}

export type HeadRecord =
  | ({ kind: 'head' } & FiledHead)
  | { kind: 'key'; publicKey: KeyObject }
  /** Cut short by a crash, or none of ours. */
  | { kind: 'torn'; place: string };

/** A note is some 300 bytes, and cosignatures of witnesses some 150 each. */
const noteBytesMax = 16 * 1024;

/**
 * What a file of heads holds, in its order: public keys and signed notes, each ending with an empty line. Throws
 * FileNotFound.
 */
export function* readHeads(path: string): Generator<HeadRecord> {
  if (!existsSync(path)) {
    throw new MerestoneError('FileNotFound', 'there are no heads here', {
      subject: path,
      hint: 'name the file that consume was given as --heads',
    });
  }
  let text: { lines: string; place: string } | undefined;
  for (const { lines, place } of paragraphs(path)) {
    const isSignature = lines.startsWith('— ');
    if (text !== undefined) yield isSignature ? headOf(text, lines) : { kind: 'torn', place: text.place };
    text = undefined;
    if (isSignature) continue;
    const key = parsePublicKey(lines.trimEnd());
    if (key === undefined) text = { lines, place };
    else yield { kind: 'key', publicKey: key.publicKey };
  }
  if (text !== undefined) yield { kind: 'torn', place: text.place };
}

function headOf({ lines, place }: { lines: string; place: string }, signatures: string): HeadRecord {
  const note = parseNote(`${lines}\n${signatures}`);
  const head = note && parseHead(note.text);
  return head === undefined ? { kind: 'torn', place } : { kind: 'head', head, note: note!, place };
}

/** Runs of lines between empty ones, with line feeds. */
function* paragraphs(path: string): Generator<{ lines: string; place: string }> {
  let [lines, place, number] = ['', '', 0];
  for (const { text = '' } of rawLines(path)) {
    number++;
    if (text === '' || lines.length > noteBytesMax) {
      if (lines !== '') yield { lines, place };
      lines = '';
    } else {
      if (lines === '') place = `${path}:${number}`;
      lines += `${text}\n`;
    }
  }
  if (lines !== '') yield { lines, place };
}
