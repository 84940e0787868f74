import type { OwnedOrigin } from '../../messages/topic.ts';
import type { Keyring, KeySource } from './keyring.ts';
import type { EntryRow } from '../storage/database-schema.ts';
import { type CipherName, seal, unseal } from '../../base/cipher.ts';

/** What is sealed beside the batches; a kind never opens as the other. */
export type EntryKind = 'event' | 'held';

export function sealEntry(
  origin: OwnedOrigin,
  kind: EntryKind,
  number: number,
  content: Uint8Array,
  keyring: Keyring,
  cipher: CipherName,
): EntryRow {
  const { id: key, secret } = keyring.current;
  return { number, key, sealed: seal(secret, cipher, content, boundTo(origin, kind, number, key)) };
}

/** The content; undefined where a bit of the row is not what was written for this origin. */
export function openEntry(
  origin: OwnedOrigin,
  kind: EntryKind,
  row: EntryRow,
  keys: KeySource,
): Buffer | undefined {
  const key = keys.get(row.key);
  return key && unseal(key.secret, row.sealed, boundTo(origin, kind, row.number, row.key));
}

function boundTo({ tenant, gateway }: OwnedOrigin, kind: EntryKind, number: number, key: number): Buffer {
  return Buffer.from([`merestone ${kind} 1`, tenant, gateway, number, key].join('\n'));
}
