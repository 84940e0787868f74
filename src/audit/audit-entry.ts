import { chainNext } from '../messages/hash-chain.ts';

interface LostBatches {
  reason: string;
  batches: number;
  samples: number;
  epoch: string;
  seqFrom: number;
  seqTo: number;
}

/** The kinds of entries and their details. `by` is a local user's name, over the control socket or the shell. */
export interface AuditDetails {
  start: { version: string; configSha256: string; fingerprintSha256: string };
  stop: { reason: string };
  /** `changes`: paths of keys, never their values. */
  configuration: {
    configSha256: string;
    previousConfigSha256: string | null;
    changes: readonly string[];
    by: string;
  };
  identity: { fingerprintSha256: string; previousFingerprintSha256: string | null; notAfter: number };
  /** `says`: the identity that a device reports against its profile; null once it no longer contradicts. */
  'device-identity': {
    device: string;
    profile: string | null;
    state: 'contradicted' | 'settled';
    says: string | null;
  };
  quota: { quota: string; limit: number; state: 'reached' | 'cleared' };
  drop: LostBatches | { reason: string; samples: number; from: number | null; to: number | null };
  quarantine: LostBatches;
  export: { by: string; epoch: string; seqFrom: number; seqTo: number; batches: number };
  /** Quarantined batches were put back in line, by a person or because the broker takes larger ones now. */
  retry: { by: string; batches: number };
  shred: { by: string; epoch: string; batches: number; samples: number };
  'refused-certificate': { reason: string; fingerprintSha256: string | null };
  /** `times`: how many refusals the entry stands for; absent: one. */
  'refused-request': { by: string; method: string; reason: string; times?: number };
  /** Entries written earlier are missing when the log is opened: it was removed, cut or replaced. */
  'entries-missing': { seqFrom: number; seqTo: number };
  /** Opens a segment: `chainBefore` is the last entry's before it, `oldest` the first segment still kept. */
  segment: {
    segment: number;
    oldest: number;
    tenant: string | null;
    gateway: string | null;
    chainBefore: string;
  };
  /** A Signer's statement about an earlier entry. */
  signature: { jws: string };
  /** A power cut truncated the line before; `bytes` and `sha256` describe the fragment that was found. */
  repair: { bytes: number; sha256: string };
}

export type AuditKind = keyof AuditDetails;

/** One line of the log: `{"at":…,"seq":…,"kind":…,…,"chain":"…"}`; names, if it has any, are in `sealed`. */
export interface AuditEntry {
  /** ms since 1970 UTC. */
  at: number;
  /** Counts the log's entries from 1 without a hole, over all segments. */
  seq: number;
  kind: AuditKind;
  /** 64 hex digits. */
  chain: string;
  [detail: string]: unknown;
}

/** Seals what must not be in clear on the disk. */
export interface NameSeal {
  /** Returns base64; it opens only with the same `seq` and `kind`. */
  seal(seq: number, kind: AuditKind, names: Readonly<Record<string, unknown>>): string;
}

/** The only details that name devices or points, or quote a device's identity. */
const sealedDetails: { readonly [Kind in AuditKind]?: readonly (string & keyof AuditDetails[Kind])[] } = {
  configuration: ['changes'],
  'device-identity': ['device', 'profile', 'says'],
};

export function namesOf(kind: AuditKind): readonly string[] {
  return sealedDetails[kind] ?? [];
}

export interface AuditHead {
  seq: number;
  /** `chainStart` before the first entry. */
  chain: Buffer;
}

/** Characters. File names and reasons are shorter; a longer text may be an attempt to fill the disk. */
const textMax = 1000;
const listMax = 100;

/**
 * The entry that follows `head`, and its line. The chain covers the line up to the chain value, in sealed form, so
 * that it is checked without a key. Without a `seal`, names are left out (`sealed: null`).
 */
export function encodeEntry<Kind extends AuditKind>(
  head: AuditHead,
  at: number,
  kind: Kind,
  details: AuditDetails[Kind],
  seal?: NameSeal,
): { entry: AuditEntry; line: string } {
  const own = { at, seq: head.seq + 1, kind };
  const { clear, names } = splitDetails(kind, details);
  const sealed = names && (seal?.seal(own.seq, kind, names) ?? null);
  const isWhole = kind === 'signature';
  const body = JSON.stringify({ ...own, ...clear, ...own, sealed }, (key, value: unknown) =>
    isWhole || key === 'sealed' ? value : shorten(key, value),
  );
  const chain = chainNext(head.chain, Buffer.from(body)).toString('hex');
  const line = `${body.slice(0, -1)},"chain":"${chain}"}`;
  const entry = JSON.parse(line) as AuditEntry;
  return { entry: sealed ? withNames(entry, names) : entry, line };
}

/** The entry of a line and the body that its chain value covers; undefined if the line is no entry. */
export function decodeEntry(line: Buffer): { entry: AuditEntry; body: Buffer } | undefined {
  const text = line.toString('utf8');
  // JSON does not escape U+2028 and U+2029; without the `s` flag a dot does not match them.
  const body = /^(\{.*),"chain":"[0-9a-f]{64}"\}$/s.exec(text)?.[1];
  if (body === undefined) return undefined;
  try {
    const entry = JSON.parse(text) as AuditEntry;
    const proper =
      Number.isSafeInteger(entry.seq) && Number.isFinite(entry.at) && typeof entry.kind === 'string';
    return proper ? { entry, body: Buffer.from(`${body}}`) } : undefined;
  } catch {
    return undefined;
  }
}

/** Names come first, where a reader looks for them. */
export function withNames({ at, seq, kind, ...rest }: AuditEntry, names: object): AuditEntry {
  return { at, seq, kind, ...names, ...rest };
}

/** Splits the details into those in clear and those to be sealed. */
function splitDetails<Kind extends AuditKind>(
  kind: Kind,
  details: AuditDetails[Kind],
): { clear: Record<string, unknown>; names: Record<string, unknown> | undefined } {
  const hidden = namesOf(kind);
  if (hidden.length === 0) return { clear: { ...details }, names: undefined };
  const all = Object.entries(details);
  const pick = (isName: boolean) =>
    Object.fromEntries(all.filter(([key]) => hidden.includes(key) === isName));
  const names = JSON.parse(JSON.stringify(pick(true), shorten)) as Record<string, unknown>;
  return { clear: pick(false), names };
}

/** Truncates texts that come from outside. */
function shorten(_key: string, value: unknown): unknown {
  if (typeof value === 'string' && value.length > textMax) return `${value.slice(0, textMax)}…`;
  return Array.isArray(value) && value.length > listMax ? [...value.slice(0, listMax), '…'] : value;
}
