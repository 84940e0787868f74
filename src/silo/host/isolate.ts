import type { SiloUsage } from '../../status/status.ts';
import type { FromSilo, ToSilo } from '../protocol.ts';

/** One life of a silo behind its wall, seen from the gateway: a thread, or a process of its own. */
export interface Isolate {
  post(message: ToSilo): void;
  /** More was posted and not taken than a silo that reads ever leaves. */
  readonly isCongested: boolean;
  /** Ends it by force. */
  end(): void;
}

/** What is heard of an isolate. `ended` comes last, and once. */
export interface IsolateListener {
  message(message: FromSilo): void;
  usage(usage: SiloUsage): void;
  /** It was told by somebody else to take leave: what comes from now on is for its next life. */
  leaving(): void;
  /** What went wrong; the end follows. */
  fault(reason: string): void;
  ended(end: IsolateEnd): void;
}

/**
 * `crashed`: it was there and went without leave. `left`: it stored what it had and took leave.
 * `absent`: it was never there, so nothing speaks against it.
 */
export type IsolateEnd = 'crashed' | 'left' | 'absent';
