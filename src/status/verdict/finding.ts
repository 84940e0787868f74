/** What can be wrong, as metrics and alert rules name it. */
export const findingKinds = [
  'silo-refused',
  'silo-quarantined',
  'silo-restarting',
  'silo-stopped',
  'silo-starting',
  'unknown-state',
  'double-tenant',
  'session',
  'not-accepted',
  'disk',
  'spool-full',
  'certificate',
  'renewal',
  'clock',
  'dropping',
  'quarantined-batches',
  'quota',
  'bus-lost',
  'bus-opening',
  'bus-load',
  'device-silent',
  'device-starting',
  'device-failing',
  'points',
  'late',
  'identity',
  'nothing-to-read',
] as const;

export type FindingKind = (typeof findingKinds)[number];

/** One fault, or one condition that needs attention. */
export interface Finding {
  verdict: 'degraded' | 'failing';
  kind: FindingKind;
  /** `silo north`, `bus rs485`, `device boiler`. */
  who: string;
  /** What is wrong with it, to be read after `who`. */
  what: string;
  /** What a person does about it. */
  remedy: string;
  /** Whose data it concerns; by name. */
  silos: string[];
}

/** A finding before its subject and its silos are known. */
export type Remark = Omit<Finding, 'who' | 'silos'>;

/** `device boiler has given no value for 45 s: no answer within 1 s; check its power, …`. */
export function sentenceOf({ who, what, remedy }: Finding): string {
  return `${who} ${what}; ${remedy}`;
}

/** A fault must last this long: brokers restart, adapters are plugged in again. */
export const graceMs = 30_000;

/** What should happen every `everyMs` fails after three intervals without it, and not before `graceMs`. */
export function limitMs(everyMs: number): number {
  return Math.max(graceMs, 3 * everyMs);
}

/** `what: why`, or `what` alone. */
export function because(what: string, why: string | null): string {
  return why === null || why === '' ? what : `${what}: ${why}`;
}

/** A reason in its parts: most of our reasons end with a semicolon and what to do. */
export interface ReasonInParts {
  why: string | null;
  remedy: string | null;
}

/** Up to the first semicolon that is not part of a quotation. */
const reasonParts = /^((?:"(?:[^"\\]|\\.)*"|[^";])+); (.+)$/s;

export function inParts(reason: string | null): ReasonInParts {
  const [, why = reason, remedy = null] = reasonParts.exec(reason ?? '') ?? [];
  return { why, remedy };
}

/** A daemon of another version may have more states than we know. */
export function unknownState(state: string): Remark {
  return {
    verdict: 'failing',
    kind: 'unknown-state',
    what: `is ${state}, which this version does not know`,
    remedy: "ask with the version that the daemon has: 'merestone --version'",
  };
}

/** The first few of them. */
export function someOf(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
}
