/** Process exit codes, after BSD sysexits(3). */
export const ExitCode = {
  Good: 0,
  /** `doctor` and `status` only: it works, but something wants attention. */
  Warnings: 1,
  /** `doctor` and `status` only: something is broken. */
  Faults: 2,
  Usage: 64,
  NoInput: 66,
  Unavailable: 69,
  Internal: 70,
  Io: 74,
  Permission: 77,
  Config: 78,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];
