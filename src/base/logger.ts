import { plain, plainJson } from './plain-text.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A logger whose every line also carries `fields`. */
  with(fields: LogFields): Logger;
}

export interface LogRecord {
  level: LogLevel;
  event: string;
  fields: LogFields;
}

const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** A logger that hands each record at or above `level` to `sink`. */
export function createLogger(
  sink: (record: LogRecord) => void,
  level: LogLevel,
  context: LogFields = {},
): Logger {
  const at =
    (own: LogLevel) =>
    (event: string, fields: LogFields = {}): void => {
      if (rank[own] >= rank[level]) sink({ level: own, event, fields: { ...context, ...fields } });
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => createLogger(sink, level, { ...context, ...fields }),
  };
}

/** One JSON object a line: `{"time":"…Z","level":"info","event":"…",…}`. */
export function formatJson(record: LogRecord, wallMs: number): string {
  const { level, event, fields } = record;
  return `${plainJson({ time: new Date(wallMs).toISOString(), level, event, ...fields })}\n`;
}

/**
 * One line for a person at a terminal, safe for any text in event and fields: `22:15:03 warn  port lost  bus=rs485`.
 */
export function formatText(record: LogRecord, wallMs: number): string {
  const pairs = Object.entries(record.fields).filter(([, value]) => value !== undefined);
  const tail = pairs.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(' ');
  const time = new Date(wallMs).toISOString().slice(11, 19);
  return `${plain(`${time} ${record.level.padEnd(5)} ${record.event}${tail === '' ? '' : `  ${tail}`}`)}\n`;
}

export const silentLogger: Logger = createLogger(() => {}, 'error');
