import { formatJson, formatText, type LogRecord } from '../base/logger.ts';

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
