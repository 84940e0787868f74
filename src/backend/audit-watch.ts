import type { Origin } from '../messages/topic.ts';
import type { Notice } from './notice.ts';

/** An entry of a gateway's audit log, as far as its place in the log goes. */
export interface AuditMark {
  seq: number;
  /** 64 hex digits. */
  chain: string;
  /** ms since 1970 UTC. */
  at: number;
}

/** What is known of a gateway's audit log: the newest entries that came. */
export interface KnownMarks {
  last: AuditMark;
  /** Below it nothing is remembered; 0 where nothing was forgotten. */
  forgottenBelow: number;
  /** The one of the number that is asked for. */
  same: AuditMark | undefined;
}

/** Entries of one gateway that are remembered: events are late by minutes, and a log has some entries a day. */
export const auditMarksMax = 1000;

/** The place of an entry; undefined where the event says none that could be compared. */
export function auditMarkOf(entry: Readonly<Record<string, unknown>>): AuditMark | undefined {
  const { seq, chain, at } = entry;
  if (!Number.isSafeInteger(seq) || typeof at !== 'number' || !Number.isFinite(at)) return undefined;
  if (typeof chain !== 'string' || !/^[0-9a-f]{64}$/.test(chain)) return undefined;
  return { seq: seq as number, chain, at };
}

/** A log's first lines: its own, a start, and what came between them. */
const firstSeqMax = 3;

/**
 * What an entry shows that cannot be from the same log as the others: this log began again, or it was set back
 * to an older state; undefined where it may be of the same. An entry that comes late has a lower number than one
 * that is known, and was written before it.
 */
export function auditBreak(
  { seq, chain, at }: AuditMark,
  known: KnownMarks | undefined,
): 'restarted' | 'set-back' | undefined {
  if (known === undefined) return undefined;
  const { last, forgottenBelow, same } = known;
  const isSound =
    same === undefined ? seq > last.seq || (seq > forgottenBelow && at <= last.at) : same.chain === chain;
  if (isSound) return undefined;
  return seq <= Math.max(forgottenBelow, firstSeqMax) ? 'restarted' : 'set-back';
}

/** A log that was removed is tampering; a card's image that is written back, too, sets a log back. */
export function describeBreak(
  found: 'restarted' | 'set-back',
  origin: Origin,
  mark: AuditMark,
  { last }: KnownMarks,
): Notice {
  const order = `entry ${mark.seq} of ${iso(mark.at)} comes after entry ${last.seq} of ${iso(last.at)}`;
  const details = { entry: mark, known: last };
  return found === 'restarted'
    ? {
        severity: 'security',
        kind: 'audit-restarted',
        message: `the audit log began anew: ${order}; it was removed, or the box was installed anew`,
        origin,
        details,
      }
    : {
        severity: 'warning',
        kind: 'audit-set-back',
        message: `the audit log goes on from an older state: ${order}; it was cut or replaced, or a card's image was written back`,
        origin,
        details,
      };
}

/** ECMA-262's range of times; what a gateway says may be beyond it. */
function iso(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`;
}

export type AuditChange = Origin & { mark: AuditMark; isAnotherLog: boolean };
