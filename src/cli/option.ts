import { defaultLog } from '../backend/tree/tree-head.ts';

/*
 * Options for yargs whose last value counts where one is given twice, for commands in which some may be
 * repeated: they set `duplicate-arguments-array`, which would make a list of every one otherwise.
 */

export function text(describe: string) {
  const last = (value: string | string[]): string => (Array.isArray(value) ? value.at(-1)! : value);
  return { type: 'string', requiresArg: true, coerce: last, describe } as const;
}

export function needed(describe: string) {
  return { ...text(describe), demandOption: true } as const;
}

/** Default prefix of the origins of a backend's trees: C2SP requires a name that no other log has. */
export const logName = {
  ...text('begins the names of the logs, as in NAME/TENANT/GATEWAY'),
  default: defaultLog,
};

export const monthsRemoved = text(
  'months of evidence before this one, as in 2026-09, were removed on purpose',
);

/** May be repeated. */
export function many(describe: string) {
  return { type: 'string', array: true, requiresArg: true, default: [] as string[], describe } as const;
}
