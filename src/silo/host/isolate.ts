import type { SiloUsage } from '../../status/status.ts';
import type { FromSilo, ToSilo } from '../protocol.ts';

/** One run of a silo, seen from the gateway: a thread, or a process of its own. */
export interface Isolate {
  post(message: ToSilo): void;
  /** More posted data is unread than a silo that keeps up ever leaves. */
  readonly isCongested: boolean;
  /** Ends it by force. */
  end(): void;
}

/** Events of an isolate. `ended` comes last, and once. */
export interface IsolateListener {
  message(message: FromSilo): void;
  usage(usage: SiloUsage): void;
  /** Its process was told to stop from outside: samples from now on are for the next run. */
  leaving(): void;
  /** What went wrong; the end follows. */
  fault(reason: string): void;
  ended(end: IsolateEnd): void;
}

/**
 * `crashed`: it ran and ended unexpectedly. `left`: it stored all samples and stopped in order. `absent`: it could
 * not be reached, which does not count as a crash.
 */
export type IsolateEnd = 'crashed' | 'left' | 'absent';
