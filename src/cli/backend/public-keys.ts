import { createPublicKey, type KeyObject } from 'node:crypto';
import { parsePublicKey } from '../../backend/tree/signed-note.ts';
import { MerestoneError } from '../../base/error.ts';
import { readInput } from '../input.ts';

/** Keys as options give them; undefined where none is given. Throws Usage, FileNotFound, FileUnreadable. */
export function publicKeys(texts: readonly string[]): KeyObject[] | undefined {
  return texts.length === 0 ? undefined : texts.map(publicKey);
}

function publicKey(text: string): KeyObject {
  const known = parsePublicKey(text);
  if (known !== undefined) return known.publicKey;
  try {
    const key = createPublicKey(readInput(text, 'public key'));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (error) {
    if (error instanceof MerestoneError) throw error;
  }
  throw new MerestoneError('Usage', `--key '${text}' is no Ed25519 key`, {
    hint: 'write the first line of the heads, NAME+ID+KEY, or the path of a PEM file',
  });
}
