import { channels } from '../messages/topic.ts';
import type { Channel } from '../messages/topic.ts';
import type { Roster } from './roster.ts';

/*
 * What each broker needs to hold a certificate to its own topics: one file of this room for each broker, each a pure
 * function from the roster of certificates to the text of configuration files.
 *
 * Invariants: a gateway writes below `t/<tenant>/<gateway>/` and reads its own canary and checkpoint, nothing else;
 * a broker that cannot tell two certificates apart gets refusals, not files; what differs
 * between brokers is measured in docs/brokers.md. The command `broker-policy` calls it; the tests run real brokers on it.
 */

export interface PolicyFile {
  name: string;
  text: string;
}

/** What one broker needs to hold each certificate to its own topics. */
export interface BrokerPolicy {
  /** Lines that belong into the broker's own configuration; null where all is in `files`. */
  settings: PolicyFile | null;
  files: readonly PolicyFile[];
  /** Why this broker cannot isolate these certificates from one another; if there is one, `files` must not be used. */
  refusals: readonly string[];
}

/** `directory`: where the broker will find `files`, absolute. */
export type PolicyWriter = (roster: Roster, directory: string) => BrokerPolicy;

/** A gateway writes to all of its channels, and reads its own probe and the checkpoint that the broker keeps of it. */
export const written: readonly Channel[] = channels;
export const read: readonly Channel[] = ['canary', 'checkpoint'];

/** Everything that any gateway writes: what a backend reads. */
export const everything = 't/#';

export function json(document: unknown): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}

export function lines(...text: readonly string[]): string {
  return `${text.join('\n')}\n`;
}
