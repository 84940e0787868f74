import { channels } from '../messages/topic.ts';
import type { Channel } from '../messages/topic.ts';
import type { Roster } from './roster.ts';

export interface PolicyFile {
  name: string;
  text: string;
}

/** What one broker needs to hold each certificate to its own topics. */
export interface BrokerPolicy {
  /** Lines that belong into the broker's own configuration; null where all is in `files`. */
  settings: PolicyFile | null;
  files: readonly PolicyFile[];
  /** Why these certificates cannot be held apart by this broker; where there is one, the files mean nothing. */
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
