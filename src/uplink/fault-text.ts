import type { ErrorCode } from '../base/error.ts';

/** What a fault is called, in a technician's words: what is wrong, and what to do. */
export interface FaultText {
  code: ErrorCode;
  message: string;
  hint: string;
}

/** An error of sockets or TLS, as Node gives it. */
export interface TlsError extends Error {
  code?: string;
  /** The certificate that was refused, where Node hands it over. */
  cert?: { subjectaltname?: string; valid_to?: string; valid_from?: string };
}

/** Of the broker's certificates: the peer can say in them what it likes, and they were not verified. */
export interface SentChain {
  certificates: number;
  /** The issuer of the last one, as it says. */
  issuer: string;
}

const clipMax = 200;

/** What a peer says, no longer than a line of the log should be. */
export function clip(text: string): string {
  return text.length <= clipMax ? text : `${text.slice(0, clipMax)}…`;
}
