import { describeError } from '../base/error.ts';
import { ExitCode } from '../base/exit-code.ts';
import { formatJson, formatText, type Logger, type LogRecord } from '../base/logger.ts';

/** A second signal of the same kind ends the process at once, as if none was handled. */
export function firstSignal(...signals: NodeJS.Signals[]): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve(signal));
  });
}

/** JSON for a log that is kept, words for a terminal. */
export function writeRecord(record: LogRecord): void {
  const format = process.stdout.isTTY ? formatText : formatJson;
  process.stdout.write(format(record, Date.now()));
}

/** The last resort, for an unhandled fault: logs one line and exits; the service manager restarts the daemon. */
export function endOnFault(logger: Logger): void {
  process.on('uncaughtException', (error: unknown) => {
    const stack = error instanceof Error ? error.stack : undefined;
    logger.error('ends by a fault of its own: please report this line', {
      reason: describeError(error),
      stack,
    });
    process.exit(ExitCode.Internal);
  });
}
