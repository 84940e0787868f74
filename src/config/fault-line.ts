import type { ConfigFault } from './options.ts';

/** `FILE:LINE:COLUMN: what is wrong; what to do`. */
export function formatFault({ file, line, column, message, hint }: ConfigFault): string {
  return `${file}:${line}:${column}: ${message}; ${hint}`;
}
