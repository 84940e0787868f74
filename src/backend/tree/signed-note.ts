import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

/*
 * Notes signed with Ed25519, after C2SP's signed-note:
 *   <text, lines>
 *
 *   — <name> <base64 of 4 bytes of key id, 64 of signature>
 * A public key is written as <name>+<key id, hex>+<base64 of 0x01 and the key>.
 */

const ed25519Type = 1;
/** Of a witness: Ed25519 with a time, C2SP's tlog-cosignature. */
export const cosignatureType = 4;
const timeBytes = 8;
const keyIdBytes = 4;
const keyBytes = 32;

export interface NoteSignature {
  name: string;
  /** Key id, then what the algorithm makes. */
  bytes: Buffer;
}

export interface SignedNote {
  /** With its last line feed. */
  text: string;
  signatures: NoteSignature[];
}

/** `text` ends with a line feed. */
export function signNote(text: string, name: string, privateKey: KeyObject): string {
  const id = keyId(name, ed25519Type, rawKey(createPublicKey(privateKey)));
  return `${text}\n${signatureLine(name, Buffer.concat([id, sign(null, Buffer.from(text), privateKey)]))}`;
}

export function signatureLine(name: string, bytes: Uint8Array): string {
  return `— ${name} ${Buffer.from(bytes).toString('base64')}\n`;
}

/** Whether one of the signatures is `publicKey`'s under `name`. */
export function isSignedBy({ text, signatures }: SignedNote, name: string, publicKey: KeyObject): boolean {
  const id = keyId(name, ed25519Type, rawKey(publicKey));
  return signatures.some(
    (signature) =>
      signature.name === name &&
      signature.bytes.subarray(0, keyIdBytes).equals(id) &&
      verify(null, Buffer.from(text), publicKey, signature.bytes.subarray(keyIdBytes)),
  );
}

/** Whether a witness with `publicKey` says under `name` when it had this note. */
export function isCosignedBy({ text, signatures }: SignedNote, name: string, publicKey: KeyObject): boolean {
  const id = keyId(name, cosignatureType, rawKey(publicKey));
  return signatures.some(({ name: signer, bytes }) => {
    if (signer !== name || !bytes.subarray(0, keyIdBytes).equals(id)) return false;
    if (bytes.length < keyIdBytes + timeBytes) return false;
    const message = `cosignature/v1\ntime ${bytes.readBigUInt64BE(keyIdBytes)}\n${text}`;
    return verify(null, Buffer.from(message), publicKey, bytes.subarray(keyIdBytes + timeBytes));
  });
}

/** Undefined if `note` is not a signed note. */
export function parseNote(note: string): SignedNote | undefined {
  const end = note.lastIndexOf('\n\n');
  if (end < 0 || !note.endsWith('\n')) return undefined;
  const signatures = note
    .slice(end + 2, -1)
    .split('\n')
    .map(parseSignature);
  if (signatures.some((signature) => signature === undefined)) return undefined;
  return { text: note.slice(0, end + 1), signatures: signatures as NoteSignature[] };
}

function parseSignature(line: string): NoteSignature | undefined {
  const [, name, text] = /^— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/.exec(line) ?? [];
  if (name === undefined || text === undefined) return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > keyIdBytes ? { name, bytes } : undefined;
}

export function formatPublicKey(name: string, publicKey: KeyObject, type: number = ed25519Type): string {
  const raw = rawKey(publicKey);
  const id = keyId(name, type, raw).toString('hex');
  return `${name}+${id}+${Buffer.concat([Buffer.of(type), raw]).toString('base64')}`;
}

/** Undefined if `text` is not a key, or of another algorithm than `type`. */
export function parsePublicKey(
  text: string,
  type: number = ed25519Type,
): { name: string; publicKey: KeyObject } | undefined {
  const [, name, id, key] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  if (name === undefined || key === undefined) return undefined;
  const bytes = Buffer.from(key, 'base64');
  if (bytes.length !== keyBytes + 1 || bytes[0] !== type) return undefined;
  const raw = bytes.subarray(1);
  if (keyId(name, type, raw).toString('hex') !== id) return undefined;
  const x = raw.toString('base64url');
  return { name, publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
}

export function keyId(name: string, type: number, raw: Uint8Array): Buffer {
  const hash = createHash('sha256').update(`${name}\n`).update(Buffer.of(type)).update(raw);
  return hash.digest().subarray(0, keyIdBytes);
}

export function rawKey(publicKey: KeyObject): Buffer {
  return Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url');
}
