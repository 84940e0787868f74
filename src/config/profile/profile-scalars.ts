import { z } from 'zod';
import { MerestoneError } from '../../base/error.ts';
import { durationPattern, parseDuration } from '../../base/quantity.ts';
import { compilePattern } from '../../fieldbus/serial/pattern.ts';

/** The scalar values of profiles and protocols. A message reads `what is wrong; what to do`. */

type Refuse = (path: (string | number)[], message: string) => void;

/** A rule over a whole value, checked only if every part of it is valid by itself. */
export function rule<Value>(check: (value: Value, refuse: Refuse) => void) {
  return (value: Value, context: z.core.$RefinementCtx<Value>): void => {
    if (context.issues.length > 0) return;
    check(value, (path, message) => context.addIssue({ code: 'custom', path, message }));
  };
}

/** A raw number as the key of a name: in the one form that the number itself is written in. */
export function numberKey() {
  return z.string().regex(/^(0|-?[1-9]\d{0,18})$/, {
    error: ({ input }) => `${JSON.stringify(input)} is no raw number; ${numberKeyHint(String(input))}`,
  });
}

function numberKeyHint(text: string): string {
  const isNumber = /^(?:-?\d{1,19}|0x[0-9A-Fa-f]{1,15}|0o[0-7]{1,20})$/.test(text);
  return `write ${isNumber ? BigInt(text) : 'a whole number in decimal, such as 7'}`;
}

/** `250ms`, `5s`: whole milliseconds once it is interpreted. */
export function duration(what: string) {
  return z
    .string({ error: ({ input }) => (input === undefined ? undefined : durationFault(input)) })
    .regex(durationPattern, { error: ({ input }) => durationFault(input) })
    .transform((text) => parseDuration(text))
    .describe(what);
}

function durationFault(input: unknown): string {
  return `${JSON.stringify(input)} is not a duration; write a number and a unit, such as 250ms, 5s, 1m or 1h`;
}

/** A pattern of serial/pattern.ts, kept as its text. */
export function pattern(what: string) {
  return z
    .string()
    .max(1024)
    .superRefine(
      rule((source, refuse) => {
        const fault = patternFault(source);
        if (fault !== undefined) refuse([], fault);
      }),
    )
    .describe(what);
}

/** `what is wrong; what to do` for a text that is no pattern. */
export function patternFault(source: string): string | undefined {
  try {
    compilePattern(source);
    return undefined;
  } catch (error) {
    if (!(error instanceof MerestoneError)) throw error;
    return `${error.message}; ${error.hint ?? 'correct the pattern'}`;
  }
}

const latin1Text = z
  .string()
  .max(256)
  .regex(/^[\0-\xff]*$/, { error: 'a byte cannot hold such a character; write { hex: … } for bytes' });

const hexBytes = z.strictObject({
  hex: z.string().regex(/^([0-9A-Fa-f]{2}\s*){1,256}$/, { error: 'not hex bytes; write them like AA C0 0D' }),
});

/** Text, or bytes in hex; Latin-1 text once it is interpreted, and whether it may hold placeholders. */
export function content(what: string) {
  return z
    .union([
      latin1Text.transform((text) => ({ text, isTemplate: true })),
      hexBytes.transform(({ hex }) => ({
        text: Buffer.from(hex.replace(/\s/g, ''), 'hex').toString('latin1'),
        isTemplate: false,
      })),
    ])
    .describe(what);
}

/** Text, or bytes in hex. */
export function bytes(what: string) {
  return content(what)
    .transform(({ text }): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1')))
    .describe(what);
}
