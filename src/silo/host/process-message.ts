import { isRecord, text } from '../../base/reader.ts';
import { type SiloUsage, siloUsage } from '../../status/status.ts';
import type { FromSilo } from '../protocol.ts';
import { admit } from './message-admission.ts';

/** One sentence; a longer text may be an attempt to fill the log. */
const sentence = text(500);

/** Messages of a silo's process about itself, besides those of its isolate. */
export type FromProcess =
  /** The gateway is accepted: the first message, and then a sign of life once a second. */
  | { type: 'here' }
  /** The gateway is refused: sent instead of `here`. */
  | { type: 'away'; reason: string }
  | { type: 'usage'; usage: SiloUsage }
  /** Why this connection ends. */
  | { type: 'fault'; reason: string }
  /** The process was told to stop from outside: the gateway sends `stop` after its last sample. */
  | { type: 'leaving' };

/** As `admit`, for the messages of a silo's process. */
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
