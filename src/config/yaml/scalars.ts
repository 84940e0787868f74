import { z } from 'zod';
import { MerestoneError } from '../../base/error.ts';
import {
  durationPattern,
  formatBytes,
  formatDuration,
  parseDuration,
  parseSize,
  sizePattern,
} from '../../base/quantity.ts';

/**
 * The scalar values of the configuration. A message given here reads `what is wrong; what to do`;
 * for a schema without one, src/config/yaml/schema-faults.ts words the issue.
 */

/** A local label: silo, bus, device or point. It becomes a folder's name, a JSON key and a metrics label. */
export function label(what: string) {
  return z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
      error: ({ input }) =>
        `${JSON.stringify(input)} cannot be a name; use up to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit`,
    })
    .describe(what);
}

/** A path, absolute or relative to the configuration file's folder; absolute once it is interpreted. */
export function path(what: string) {
  return z
    .string()
    .min(1, { error: 'a path cannot be empty; name a file or folder' })
    .max(4096, { error: 'a path has at most 4096 bytes; name a shorter one' })
    .refine((text) => !text.includes('\0'), { error: 'a path cannot hold a NUL; remove it' })
    .describe(what);
}

/** `250ms`, `5s`: whole milliseconds once it is interpreted. */
export function duration(min: string, max: string, what: string) {
  return quantity(durationPattern, parseDuration, formatDuration, min, max, what);
}

/** `64kB`, `512MB`: whole bytes once it is interpreted. */
export function size(min: string, max: string, what: string) {
  return quantity(sizePattern, parseSize, formatBytes, min, max, what);
}

function quantity(
  pattern: RegExp,
  parse: (text: string) => number,
  format: (value: number) => string,
  min: string,
  max: string,
  what: string,
) {
  const fault = (input: unknown): string | undefined => {
    try {
      const value = parse(typeof input === 'string' ? input : JSON.stringify(input));
      if (value >= parse(min) && value <= parse(max)) return undefined;
      return `${format(value)} is out of range; choose ${min} to ${max}`;
    } catch (error) {
      if (error instanceof MerestoneError) return `${error.message}; ${error.hint}`;
      throw error;
    }
  };
  return z
    .string({ error: ({ input }) => (input === undefined ? undefined : fault(input)) })
    .regex(pattern, { error: ({ input }) => fault(input) })
    .transform((text, context) => {
      const message = fault(text);
      if (message === undefined) return parse(text);
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .describe(`${what} (${min} to ${max})`);
}
