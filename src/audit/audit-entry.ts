import { chainNext } from '../messages/hash-chain.ts';

interface LostBatches {
  reason: string;
  batches: number;
  samples: number;
  epoch: string;
  seqFrom: number;
  seqTo: number;
}

/** What is noted, and what is said of it. `by` is a local user's name, over the control socket or the shell. */
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
  /** `says`: what a device says that is another than its profile is for; null where it no longer does. */
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
  /** `times`: so many, where they were too many to be noted one by one. */
  'refused-request': { by: string; method: string; reason: string; times?: number };
  /** Entries that were written are not there any more when the log is opened: it was removed, cut or replaced. */
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
  /** The line before was cut short by a power cut; these are the bytes of it that were found. */
  repair: { bytes: number; sha256: string };
}

export type AuditKind = keyof AuditDetails;

/** One line of the log: `{"at":…,"seq":…,"kind":…,…,"chain":"…"}`; names are in `sealed`, where it has any. */
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

/** Seals what must not stand in clear on the disk. */
export interface NameSeal {
  /** Base64 of names that belong to one entry, and open as no other's. */
  seal(seq: number, kind: AuditKind, names: Readonly<Record<string, unknown>>): string;
}

/** What names devices, points or what a device says of itself. Nothing else in a log does. */
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

/** A name of a file or a reason is shorter; what is longer came from somebody who wants to fill the disk. */
const textMax = 1000;
const listMax = 100;

/**
 * The entry that follows `head`, and its line. The chain covers the line up to the chain value itself: with what is
 * sealed in it, so that it is checked without a key. Names without a `seal` are left out (`sealed: null`).
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

/** The entry of a line and the body that its chain value covers; undefined where the line is none. */
export function decodeEntry(line: Buffer): { entry: AuditEntry; body: Buffer } | undefined {
  const text = line.toString('utf8');
  // JSON leaves U+2028 and U+2029 as they are, and a dot alone takes them for the end of a line.
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

/** What of an entry may stand in clear, and what must not. */
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

/** Cuts what somebody may have made long. */
function shorten(_key: string, value: unknown): unknown {
  if (typeof value === 'string' && value.length > textMax) return `${value.slice(0, textMax)}…`;
  return Array.isArray(value) && value.length > listMax ? [...value.slice(0, listMax), '…'] : value;
}
