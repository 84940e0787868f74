import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto';
import { MerestoneError } from '../../base/error.ts';
import type { KeyRow } from '../storage/database-schema.ts';

/** Wraps data keys to the silo's key-encryption key (JWE, ECDH-ES+A256KW). */
export interface KeyWrapper {
  /** Names the key-encryption key; the same key, the same name. */
  readonly keyId: string;
  wrap(dataKey: Uint8Array): Promise<string>;
  /** Rejects where the JWE is damaged or was wrapped to another key. */
  unwrap(jwe: string): Promise<Uint8Array>;
}

export interface DataKey {
  readonly id: number;
  /** ms since 1970 UTC. */
  readonly since: number;
  /** The position from which it seals. */
  readonly first: number;
  readonly secret: KeyObject;
}

/** What is needed to open what was sealed. */
export interface KeySource {
  get(id: number): DataKey | undefined;
}

/** The data keys of this spool, unwrapped. One of them seals, all of them open. */
export class Keyring implements KeySource {
  readonly #keys: Map<number, DataKey>;
  #current: DataKey;

  constructor(keys: readonly DataKey[], current: DataKey) {
    this.#keys = new Map(keys.map((key) => [key.id, key]));
    this.#current = current;
  }

  /** The one that seals. */
  get current(): DataKey {
    return this.#current;
  }

  get all(): DataKey[] {
    return [...this.#keys.values()];
  }

  get(id: number): DataKey | undefined {
    return this.#keys.get(id);
  }

  /** From now on `key` seals. */
  turnTo(key: DataKey): void {
    this.#keys.set(key.id, key);
    this.#current = key;
  }

  forget(ids: readonly number[]): void {
    for (const id of ids) this.#keys.delete(id);
  }
}

export function mintKey(wallMs: number, first: number): DataKey {
  const id = randomBytes(6).readUIntBE(0, 6);
  return { id, since: wallMs, first, secret: createSecretKey(randomBytes(32)) };
}

export async function wrapKey(key: DataKey, wrapper: KeyWrapper): Promise<KeyRow> {
  const { id, since, first, secret } = key;
  return { id, kek: wrapper.keyId, jwe: await wrapper.wrap(secret.export()), since, first };
}

/** Throws KeyUnavailable where `wrapper` is not what the row was wrapped with, or the row is damaged. */
export async function unwrapKey(row: KeyRow, wrapper: KeyWrapper): Promise<DataKey> {
  const { id, kek, jwe, since, first } = row;
  try {
    return { id, since, first, secret: createSecretKey(await wrapper.unwrap(jwe)) };
  } catch (cause) {
    throw new MerestoneError('KeyUnavailable', `a data key was wrapped to '${kek}' and does not open`, {
      hint: `restore that key-encryption key (this silo has '${wrapper.keyId}'), or run 'spool shred'`,
      cause,
    });
  }
}
