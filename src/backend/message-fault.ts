import Database from 'better-sqlite3';
import { MerestoneError, type ErrorCode } from '../base/error.ts';

/** Faults of ours: rows, evidence or state cannot be written, for any message. */
const ours: ReadonlySet<ErrorCode> = new Set([
  'Io',
  'OutputClosed',
  'StateInvalid',
  'DatabaseRefused',
  'BrokerRefused',
]);

/** Faults of the state file or its disk (sqlite.org/rescode.html). */
const sqliteFaults =
  /^SQLITE_(FULL|IOERR|READONLY|CORRUPT|NOTADB|BUSY|LOCKED|CANTOPEN|NOMEM|PERM|AUTH|PROTOCOL)/;

/**
 * Why a message is refused, for any error thrown while it was processed: nothing that one gateway sends may end
 * the consumer. Throws what is a fault of ours.
 */
export function faultOf(error: unknown): MerestoneError {
  if (error instanceof MerestoneError) {
    if (ours.has(error.code)) throw error;
    return error;
  }
  if (error instanceof Database.SqliteError && sqliteFaults.test(error.code)) {
    throw new MerestoneError('StateInvalid', `the state cannot be written: ${error.message}`, {
      hint: 'make room or mend the disk; what was not written is not acknowledged, and comes again',
      cause: error,
    });
  }
  const name = error instanceof Error ? error.name : 'fault';
  return new MerestoneError('Internal', `it could not be taken (${name})`, { cause: error });
}
