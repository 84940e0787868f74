import type { SerialFieldOptions } from '../options.ts';
import { compilePattern, type Pattern, type PatternMatch } from './pattern.ts';

export type PatternSource = Extract<SerialFieldOptions['from'], { by: 'pattern' }>;

/** A place of a frame that has the value of a field; `outdated`: the value is from long ago. */
export type Occurrence = { kind: 'found'; text: string | undefined } | { kind: 'outdated' };

/** A telegram lists at most four channels; the search in a hostile one must end. */
export const occurrencesMax = 4;

/**
 * Finds a field by its own pattern. Of several matches in a frame, the first counts that fulfils `where`, not `unless`,
 * and is not outdated, so that the meter in use replaces one that was removed. Null if the frame does not hold the
 * field. Throws ProfileInvalid for an invalid pattern.
 */
export function compileOccurrence({
  pattern,
  where,
  unless,
  dated,
}: PatternSource): (frame: Uint8Array) => Occurrence | null {
  const value = compilePattern(pattern);
  const isThere = where === undefined ? () => true : compileWhere(where);
  const isAgainst = unless === undefined ? () => false : compileWhere(unless);
  const now = dated === undefined ? undefined : compilePattern(dated.by);
  const isOutdated = (match: PatternMatch, nowMs: number | undefined): boolean => {
    const time = dated && match.group('time');
    if (time === undefined) return false;
    const at = parseStamp(time);
    return at === undefined || (nowMs !== undefined && nowMs - at > dated!.withinMs);
  };
  return (frame) => {
    const nowMs = parseStamp(now?.match(frame)?.group(1));
    let outdated: Occurrence | null = null;
    let from = 0;
    for (let count = 0; count < occurrencesMax; count++) {
      const match = value.match(frame, from);
      if (match === null) break;
      const isOurs = isThere(frame, match) && !isAgainst(frame, match);
      if (isOurs && !isOutdated(match, nowMs)) return { kind: 'found', text: match.group(valueGroup(value)) };
      if (isOurs) outdated = { kind: 'outdated' };
      if (match.groupsEnd <= from) break;
      from = match.groupsEnd;
    }
    return outdated;
  };
}

/** The group `value`, else the first. */
export function valueGroup({ groups }: Pattern): string | number {
  return groups.includes('value') ? 'value' : 1;
}

/** The placeholders of `where`, which name groups of a match. */
export function placeholdersOf(where: string): string[] {
  return [...where.matchAll(placeholder)].map(([, name]) => name!);
}

/** `where` with every placeholder filled, by `textOf`, letter for letter. */
export function fillWhere(where: string, textOf: (name: string) => string): string {
  return where.replaceAll(placeholder, (_whole, name: string) => escaped(textOf(name)));
}

const placeholder = /\{([A-Za-z_]\w*)\}/g;

/** Whether a pattern made of `where` and the match's groups holds in the frame, too. */
function compileWhere(where: string): (frame: Uint8Array, match: PatternMatch) => boolean {
  const known = new Map<string, Pattern>();
  return (frame, match) => {
    const source = fillWhere(where, (name) => match.group(name) ?? '');
    const pattern = known.get(source) ?? compilePattern(source);
    if (known.size >= occurrencesMax) known.clear();
    known.set(source, pattern);
    return pattern.match(frame) !== null;
  };
}

function escaped(text: string): string {
  return text.replaceAll(
    /[^A-Za-z0-9]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

const hourMs = 3_600_000;

/**
 * The time of an e-meter, YYMMDDhhmmss with S for summer time or W (DSMR P1 §6.3, TST), as milliseconds of its own
 * time zone. Undefined for an invalid time: a channel without a meter has times such as 632525252525S.
 */
function parseStamp(text: string | undefined): number | undefined {
  const [, digits, season] = /^(\d{12})([SW]?)$/.exec(text ?? '') ?? [];
  if (digits === undefined) return undefined;
  const [year, month, day, hour, minute, second] = digits.match(/../g)!.map(Number);
  const ms = Date.UTC(2000 + year!, month! - 1, day, hour, minute, second);
  const isReal = new Date(ms).toISOString().replaceAll(/\D/g, '').slice(2, 14) === digits;
  if (!isReal) return undefined;
  return season === 'S' ? ms - hourMs : ms;
}
