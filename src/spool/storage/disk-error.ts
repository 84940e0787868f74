import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { type ErrorCode, MerestoneError } from '../../base/error.ts';

/** What SQLite or the system threw, as one of ours; what is neither the disk's nor the file's, as it is. */
export function asSpoolError(file: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof MerestoneError) return cause;
  const verdict = errorOf(codeOf(cause));
  if (verdict === undefined) return cause;
  // SQLite says of some read-only disks that they do not read or write.
  if (codeOf(cause).startsWith('SQLITE_IOERR') && verdict[0] === 'SpoolUnavailable' && isReadOnly(file))
    return asSpoolError(file, Object.assign(new Error(cause.message, { cause }), { code: 'EROFS' }));
  const [code, message, hint] = verdict;
  if (code === 'DiskFull') return diskFull(file, cause);
  return new MerestoneError(code, `${message} (${cause.message})`, {
    subject: file,
    hint,
    retryable: true,
    cause,
  });
}

/** The disk that has `file` on it is full; `cause` is what it answered, where it was asked. */
export function diskFull(file: string, cause?: Error): MerestoneError {
  const answer = cause === undefined ? '' : ` (${cause.message})`;
  return new MerestoneError('DiskFull', `the disk of ${dirname(file)} is full${answer}`, {
    subject: file,
    hint: 'free space on this disk',
    retryable: true,
    cause,
  });
}

/** Whether it is the disk that refuses, so that the same may work later: full, read-only, faulty. */
export function isDiskFault(error: unknown): boolean {
  if (!(error instanceof MerestoneError))
    return error instanceof Error && errorOf(codeOf(error)) !== undefined;
  if (error.code === 'SpoolHeld' || error.code === 'SpoolDamaged') return false;
  if (error.code === 'SpoolUnavailable') return error.retryable;
  return (
    error.code === 'DiskFull' ||
    error.code === 'Io' ||
    (error.cause !== undefined && isDiskFault(error.cause))
  );
}

function isReadOnly(file: string): boolean {
  try {
    accessSync(dirname(file), constants.W_OK);
    return false;
  } catch (error) {
    return error instanceof Error && codeOf(error) === 'EROFS';
  }
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

/** By SQLite's result codes and the system's; undefined for what is neither the disk's nor the file's. */
function errorOf(code: string): readonly [ErrorCode, message: string, hint: string] | undefined {
  // A page that is not there, or that the medium does not give back, is damage; the rest can be salvaged.
  if (code.startsWith('SQLITE_IOERR_') && code.endsWith('READ')) return errorOf('SQLITE_CORRUPT');
  const primary = code.startsWith('SQLITE_') ? code.split('_', 2).join('_') : code;
  switch (primary) {
    case 'SQLITE_CORRUPT':
    case 'SQLITE_NOTADB':
    // Rows that contradict what the ledger says of them.
    case 'SQLITE_CONSTRAINT':
      return ['SpoolDamaged', 'the spool is damaged', 'open it again: what is sound will be salvaged'];
    case 'SQLITE_FULL':
    case 'ENOSPC':
    case 'EDQUOT':
      return ['DiskFull', '', ''];
    case 'SQLITE_READONLY':
    case 'EROFS':
      return [
        'SpoolUnavailable',
        'the disk is read-only, or the file is',
        "look for the disk's faults in the kernel's log (dmesg), check owner and mode, and mount it writable",
      ];
    case 'SQLITE_CANTOPEN':
    case 'SQLITE_PERM':
    case 'EACCES':
    case 'EPERM':
    case 'ENOENT':
    case 'ENOTDIR':
      return ['SpoolUnavailable', 'the spool cannot be written', 'check its folder, with owner and mode'];
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
      return ['SpoolHeld', 'another process has this spool open', 'stop it and try again'];
    case 'SQLITE_IOERR':
    case 'EIO':
      return [
        'SpoolUnavailable',
        'the disk does not read or write',
        'check the disk, its mount and its cable',
      ];
    default:
      return undefined;
  }
}
