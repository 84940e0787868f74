import { MerestoneError } from '../../base/error.ts';

/** A day means its first instant, UTC. */
export function instant(text: string, option: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2}))?$/.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new MerestoneError('Usage', `--${option} '${text}' is no time`, {
    hint: 'write 2026-11-22 or 2026-11-22T12:00:00Z',
  });
}

/** A month as evidence names its files. Throws Usage. */
export function month(text: string | undefined, option: string): string | undefined {
  if (text === undefined || /^\d{4}-(0[1-9]|1[0-2])$/.test(text)) return text;
  throw new MerestoneError('Usage', `--${option} '${text}' is no month`, { hint: 'write 2026-09' });
}
