import { readFileSync } from 'node:fs';

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** This program's version, as its package says. */
export const version: string = manifest.version;

/** No right clock is earlier than the day this version was made (ms since 1970 UTC). */
export const releasedAtMs = Date.UTC(2026, 10, 22);
