/*
 * Options for yargs whose last value counts where one is given twice, for commands in which some may be
 * repeated: they set `duplicate-arguments-array`, which would else make a list of every one.
 */

export function text(describe: string) {
  const last = (value: string | string[]): string => (Array.isArray(value) ? value.at(-1)! : value);
  return { type: 'string', requiresArg: true, coerce: last, describe } as const;
}

export function needed(describe: string) {
  return { ...text(describe), demandOption: true } as const;
}

/** May be repeated. */
export function many(describe: string) {
  return { type: 'string', array: true, requiresArg: true, default: [] as string[], describe } as const;
}
