import type { KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MerestoneError } from '../../base/error.ts';
import type { Origin } from '../../messages/topic.ts';
import { headsName } from './gateway-tree.ts';
import { readHeads, type FiledHead } from './head-file.ts';
import { appendRecord } from './head-signer.ts';
import { prove } from './prove.ts';
import { isCosignedBy, parseNote, type SignedNote } from './signed-note.ts';

/*
 * Hands a gateway's newest head to a witness, after C2SP's tlog-witness: POST <url>/add-checkpoint with the size that
 * the witness cosigned last, the proof that the new tree goes on from it, and the head. The cosignature is kept with
 * the head. Whoever trusts the witness knows that no other tree was shown to it.
 */

export interface Witness {
  url: string;
  name: string;
  publicKey: KeyObject;
}

/** A witness that does not answer within this is away. */
const answerTimeoutMs = 10_000;
const answerBytesMax = 16 * 1024;

/** The size that was cosigned. Throws Io with what the witness says, FileNotFound where no head was signed. */
export async function askWitness(folder: string, origin: Origin, witness: Witness): Promise<number> {
  const path = join(folder, origin.tenant, origin.gateway, headsName);
  const { newest, cosigned } = headsIn(path, witness);
  if (cosigned === newest.head.size) return cosigned;
  let answer = await post(witness, folder, origin, cosigned);
  // The witness knows better what it cosigned last.
  if (answer.status === 409) {
    const size = Number(answer.body.trim());
    if (!Number.isSafeInteger(size) || size < 0 || size > newest.head.size) {
      throw refused(
        witness,
        `it has a head of ${answer.body.trim().slice(0, 20)} lines, and there are ${newest.head.size}`,
      );
    }
    answer = await post(witness, folder, origin, size);
  }
  if (answer.status !== 200) throw refused(witness, `${answer.status} ${answer.body.trim().slice(0, 200)}`);
  const { head, signed } = answer;
  const note = parseNote(`${signed}${answer.body}`);
  if (note === undefined || !isCosignedBy(note, witness.name, witness.publicKey)) {
    throw refused(witness, 'its answer is no cosignature by its key');
  }
  appendRecord(path, `${signed}${answer.body}\n`);
  return head.head.size;
}

function headsIn(path: string, { name, publicKey }: Witness): { newest: FiledHead; cosigned: number } {
  let newest: FiledHead | undefined;
  let cosigned = 0;
  if (existsSync(path)) {
    for (const record of readHeads(path)) {
      if (record.kind !== 'head') continue;
      if (record.head.size >= (newest?.head.size ?? 0)) newest = record;
      if (isCosignedBy(record.note, name, publicKey)) cosigned = record.head.size;
    }
  }
  if (newest !== undefined) return { newest, cosigned };
  throw new MerestoneError('FileNotFound', 'no head was signed here', {
    subject: path,
    hint: 'run merestone consume with --evidence, which signs one a minute',
  });
}

async function post(witness: Witness, folder: string, origin: Origin, old: number) {
  const proof = old === 0 ? undefined : prove(folder, origin, { since: old });
  const head = proof?.head ?? prove(folder, origin, { line: 1 }).head;
  const hashes = (proof?.hashes ?? []).map((hash) => `${hash.toString('base64')}\n`).join('');
  const signed = formatOwn(head.note);
  try {
    const response = await fetch(`${witness.url.replace(/\/$/, '')}/add-checkpoint`, {
      method: 'POST',
      body: `old ${old}\n${hashes}\n${signed}`,
      redirect: 'error',
      signal: AbortSignal.timeout(answerTimeoutMs),
    });
    const body = (await response.text()).slice(0, answerBytesMax);
    return { status: response.status, body, head, signed };
  } catch (cause) {
    throw refused(witness, (cause as Error).message, cause);
  }
}

/** The head as the backend signed it, without what others added. */
function formatOwn({ text, signatures: [own] }: SignedNote): string {
  return `${text}\n— ${own!.name} ${own!.bytes.toString('base64')}\n`;
}

function refused({ url }: Witness, reason: string, cause?: unknown): MerestoneError {
  return new MerestoneError('Io', `the witness did not cosign: ${reason}`, {
    subject: url,
    hint: 'check that it knows this log and its key; a size or proof that it refuses means that the evidence was changed',
    cause,
  });
}
