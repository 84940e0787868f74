import { isRecord, text } from '../../base/reader.ts';
import { type SiloUsage, siloUsage } from '../../status/status.ts';
import type { FromSilo } from '../protocol.ts';
import { admit } from './message-admission.ts';

/** A sentence; what is longer came from somebody who wants to fill a log. */
const sentence = text(500);

/** What a silo's process says of itself, besides what its isolate says. */
export type FromProcess =
  /** The gateway is let in: its first word, and once a second, as a sign of life. */
  | { type: 'here' }
  /** The gateway is not let in: instead of `here`. */
  | { type: 'away'; reason: string }
  | { type: 'usage'; usage: SiloUsage }
  /** Why the life of this connection ends. */
  | { type: 'fault'; reason: string }
  /** It was told by somebody else to go: the gateway says `stop` after its last sample. */
  | { type: 'leaving' };

/** The same for a silo's process as `admit` for its isolate. */
export function admitFromProcess(message: unknown): FromProcess | FromSilo | string {
  if (!isRecord(message)) return admit(message);
  switch (message['type']) {
    case 'here':
      return { type: 'here' };
    case 'leaving':
      return { type: 'leaving' };
    case 'away':
      return { type: 'away', reason: reasonOf(message['reason']) };
    case 'fault':
      return { type: 'fault', reason: reasonOf(message['reason']) };
    case 'usage':
      return { type: 'usage', usage: siloUsage(message['usage']) };
    default:
      return admit(message);
  }
}

/** Why an isolate ends, in its own words: a text, or an error as it came out of a thread. */
export function reasonOf(value: unknown): string {
  const reason = sentence(isRecord(value) ? value['message'] : value);
  return reason === '' ? 'it did not say why' : reason;
}
