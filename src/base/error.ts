import { ExitCode } from './exit-code.ts';

/**
 * The errors of the whole program: one class, and the catalogue of every fault a user can meet. Every room throws
 * `MerestoneError`; `cli/main.ts` prints `describe()` and exits with `exitCode`.
 *
 * - A fault has a name and a number, so that no program has to match on text.
 * - Numbers never change: a retired one is not given out again. One hundred per room.
 * - The message says what is wrong, `subject` where, `hint` what to do.
 */
const catalogue = {
  Internal: { number: 100, exit: ExitCode.Internal },
  Usage: { number: 101, exit: ExitCode.Usage },
  WrongRuntime: { number: 102, exit: ExitCode.Unavailable },
  FileNotFound: { number: 103, exit: ExitCode.NoInput },
  FileUnreadable: { number: 104, exit: ExitCode.Permission },
  Io: { number: 105, exit: ExitCode.Io },
  PackageMissing: { number: 106, exit: ExitCode.Unavailable },

  ConfigInvalid: { number: 200, exit: ExitCode.Config },
  DurationInvalid: { number: 201, exit: ExitCode.Config },
  SizeInvalid: { number: 202, exit: ExitCode.Config },
  ProfileInvalid: { number: 203, exit: ExitCode.Config },

  IdentityMissing: { number: 300, exit: ExitCode.NoInput },
  IdentityRefused: { number: 301, exit: ExitCode.Config },
  IdentityUntrusted: { number: 302, exit: ExitCode.Config },
  IdentityOutOfTime: { number: 303, exit: ExitCode.Config },
  IdentityKeyMismatch: { number: 304, exit: ExitCode.Config },
  /** The new certificate names another holder than the one it would replace. */
  IdentityForeign: { number: 305, exit: ExitCode.Permission },

  PortUnavailable: { number: 400, exit: ExitCode.Unavailable },
  PortHeld: { number: 401, exit: ExitCode.Unavailable },
  FrameInvalid: { number: 402, exit: ExitCode.Io },

  SpoolUnavailable: { number: 500, exit: ExitCode.Io },
  SpoolForeign: { number: 501, exit: ExitCode.Permission },
  SpoolHeld: { number: 502, exit: ExitCode.Unavailable },
  SpoolDamaged: { number: 503, exit: ExitCode.Io },
  SpoolFull: { number: 504, exit: ExitCode.Io },
  SpoolClosed: { number: 505, exit: ExitCode.Internal },
  KeyUnavailable: { number: 506, exit: ExitCode.Permission },
  /** The disk itself has no room; SpoolFull is the spool's own limit. */
  DiskFull: { number: 507, exit: ExitCode.Io },

  UplinkRefused: { number: 600, exit: ExitCode.Unavailable },
  UplinkClosed: { number: 601, exit: ExitCode.Unavailable },
  /** DNS, TCP or TLS: no connection to the broker. */
  UplinkUnreachable: { number: 602, exit: ExitCode.Unavailable },
  BrokerUntrusted: { number: 603, exit: ExitCode.Unavailable },

  SiloCrashed: { number: 700, exit: ExitCode.Internal },
  AuditDamaged: { number: 701, exit: ExitCode.Io },
  /** A process of another user than the silo's own answers at the silo's socket. */
  SiloStranger: { number: 702, exit: ExitCode.Permission },

  DaemonUnreachable: { number: 800, exit: ExitCode.Unavailable },
  ControlRefused: { number: 801, exit: ExitCode.Permission },
  /** Another daemon answers on the control socket. */
  DaemonRunning: { number: 802, exit: ExitCode.Unavailable },
  ControlInvalid: { number: 803, exit: ExitCode.Usage },

  StreamInvalid: { number: 900, exit: ExitCode.Io },
  /** A message that names another tenant or gateway than the place it was found in. */
  StreamForeign: { number: 901, exit: ExitCode.Permission },
  SignatureRefused: { number: 902, exit: ExitCode.Permission },
  BrokerRefused: { number: 903, exit: ExitCode.Unavailable },
  StateInvalid: { number: 904, exit: ExitCode.Io },
  /** The reader of our rows closed the pipe, as `head` does. */
  OutputClosed: { number: 905, exit: ExitCode.Good },
  DatabaseRefused: { number: 906, exit: ExitCode.Unavailable },
} as const satisfies Record<string, { number: number; exit: ExitCode }>;

export type ErrorCode = keyof typeof catalogue;

export interface ErrorDetails {
  /** What the user can do about it: one imperative sentence. */
  hint?: string;
  /** The thing it happened to: a path, a bus, a device, a topic. */
  subject?: string;
  /** True if trying again later may succeed without anyone's help. */
  retryable?: boolean;
  cause?: unknown;
}

/** The one error class: what is wrong (`message`), where (`subject`), what to do (`hint`). */
export class MerestoneError extends Error {
  override readonly name: string = 'MerestoneError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly subject: string | undefined;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.subject = details.subject;
    this.retryable = details.retryable ?? false;
  }

  get number(): number {
    return catalogue[this.code].number;
  }

  get exitCode(): ExitCode {
    return catalogue[this.code].exit;
  }

  /** `subject: message; hint (E301)`, one line. */
  describe(): string {
    const where = this.subject === undefined ? '' : `${this.subject}: `;
    const remedy = this.hint === undefined ? '' : `; ${this.hint}`;
    return `${where}${this.message}${remedy} (E${this.number})`;
  }
}

/** The error for a fault text of the form `what is wrong; what to do`. */
export function faultError(code: ErrorCode, fault: string, subject?: string): MerestoneError {
  const at = fault.indexOf('; ');
  const [message, hint] = at < 0 ? [fault] : [fault.slice(0, at), fault.slice(at + 2)];
  return new MerestoneError(code, message, {
    ...(hint !== undefined && { hint }),
    ...(subject !== undefined && { subject }),
  });
}

/** One line for any thrown value, a MerestoneError or not. */
export function describeError(error: unknown): string {
  if (error instanceof MerestoneError) return error.describe();
  return error instanceof Error ? error.message : String(error);
}
