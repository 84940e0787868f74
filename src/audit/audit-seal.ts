import { createSecretKey, type KeyObject } from 'node:crypto';
import { fastestCipher, seal, unseal } from '../base/cipher.ts';
import type { Origin } from '../messages/topic.ts';
import { type AuditEntry, type AuditKind, type NameSeal, withNames } from './audit-entry.ts';

/** Seals the names in one tenant's log: the disk without the key shows what happened, but not to which device. */
export class AuditSeal implements NameSeal {
  readonly #key: KeyObject;
  readonly #origin: Origin;
  readonly #cipher = fastestCipher();

  constructor(secret: Uint8Array, origin: Origin) {
    this.#key = createSecretKey(secret);
    this.#origin = origin;
  }

  seal(seq: number, kind: AuditKind, names: Readonly<Record<string, unknown>>): string {
    const text = Buffer.from(JSON.stringify(names));
    return seal(this.#key, this.#cipher, text, this.#boundTo(seq, kind)).toString('base64');
  }

  /** The entry with its names; unchanged if it has none or they were sealed with another key. */
  open(entry: AuditEntry): AuditEntry {
    if (typeof entry['sealed'] !== 'string') return entry;
    const sealed = Buffer.from(entry['sealed'], 'base64');
    const text = unseal(this.#key, sealed, this.#boundTo(entry.seq, entry.kind));
    return text === undefined ? entry : withNames(entry, JSON.parse(text.toString()) as object);
  }

  #boundTo(seq: number, kind: AuditKind): Buffer {
    const { tenant, gateway } = this.#origin;
    return Buffer.from(['merestone audit 1', tenant, gateway, seq, kind].join('\n'));
  }
}
