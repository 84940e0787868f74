import { MerestoneError } from './error.ts';

const msPerUnit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const bytesPerUnit = { B: 1, kB: 1000, MB: 1e6, GB: 1e9, TB: 1e12 } as const;

export const durationPattern = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
export const sizePattern = /^(\d+(?:\.\d+)?)(B|kB|MB|GB|TB)$/;

/** `250ms`, `5s`, `1m`, `1h`, `1d` → whole milliseconds. Throws DurationInvalid. */
export function parseDuration(text: string): number {
  const match = durationPattern.exec(text);
  const ms = match ? Number(match[1]) * msPerUnit[match[2] as keyof typeof msPerUnit] : NaN;
  if (!Number.isSafeInteger(Math.round(ms))) {
    throw new MerestoneError('DurationInvalid', `'${text}' is not a duration`, {
      hint: 'write a number and a unit, such as 250ms, 5s, 1m or 1h',
    });
  }
  return Math.round(ms);
}

/** `64kB`, `512MB`, `2GB` (powers of 1000) → whole bytes. Throws SizeInvalid. */
export function parseSize(text: string): number {
  const match = sizePattern.exec(text);
  const bytes = match ? Number(match[1]) * bytesPerUnit[match[2] as keyof typeof bytesPerUnit] : NaN;
  if (!Number.isSafeInteger(Math.round(bytes))) {
    throw new MerestoneError('SizeInvalid', `'${text}' is not a size`, {
      hint: 'write a number and a unit, such as 64kB, 512MB or 2GB',
    });
  }
  return Math.round(bytes);
}

/** Milliseconds for people: `250 ms`, `5 s`, `12 min`, `3 h`, `2 d`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${trim(ms / 1000)} s`;
  if (ms < 7_200_000) return `${trim(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${trim(ms / 3_600_000)} h`;
  return `${trim(ms / 86_400_000)} d`;
}

/** Bytes for people: `640 B`, `64 kB`, `5.1 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  if (bytes < 1e6) return `${trim(bytes / 1000)} kB`;
  if (bytes < 1e9) return `${trim(bytes / 1e6)} MB`;
  return `${trim(bytes / 1e9)} GB`;
}

function trim(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Math.round(value * 10) / 10);
}
