import { z } from 'zod';
import { nearestName } from '../../base/nearest-name.ts';
import { plain } from '../../base/plain-text.ts';
import type { ConfigFault } from '../options.ts';
import type { Path, Source } from './yaml-document.ts';

type Issue = z.core.$ZodIssue;

/** A fault at the value (or key) at `path`; `text` reads `what is wrong; what to do`. */
export function faultAt(
  file: string,
  source: Source,
  path: Path,
  text: string,
  part: 'key' | 'value' = 'value',
): ConfigFault {
  const [message, hint] = divide(text).map(printable) as [string, string];
  return { file, ...source.placeOf(path, part), message, hint };
}

/** The faults of `value` under `schema`. */
export function schemaFaults(
  file: string,
  source: Source,
  schema: z.ZodType,
  issues: readonly Issue[],
): ConfigFault[] {
  return issues.map(nearestIssue).flatMap((issue) => {
    const described = schemaAt(schema, source.value, issue.path);
    if (issue.code === 'unrecognized_keys') {
      const known = described instanceof z.ZodObject ? Object.keys(described.shape) : [];
      return issue.keys.map((key) =>
        faultAt(file, source, [...issue.path, key], describeUnknownKey(key, known), 'key'),
      );
    }
    const value = valueAt(source.value, issue.path);
    const missing = value === undefined && issue.path.length > 0;
    const worded = missing ? describeMissing(issue, described) : describeIssue(issue, value, described);
    const text = issue.message === '' ? worded : issue.message;
    if (!missing)
      return [faultAt(file, source, issue.path, text, issue.code === 'invalid_key' ? 'key' : 'value')];
    return [faultAt(file, source, issue.path.slice(0, -1), text)];
  });
}

/** Of the alternatives of a union, the one that matched furthest describes the fault best. */
function nearestIssue(issue: Issue): Issue {
  if (issue.code !== 'invalid_union' || issue.message !== '') return issue;
  const inner = issue.errors.flat().map(nearestIssue);
  const rank = (each: Issue): number => 2 * each.path.length + (each.code === 'invalid_value' ? 1 : 0);
  const nearest = inner.sort((a, b) => rank(b) - rank(a))[0];
  if (nearest === undefined || rank(nearest) === 0) return issue;
  return { ...nearest, path: [...issue.path, ...nearest.path] };
}

const ownershipKeys = new Set(['tenant', 'tenantid', 'gateway', 'gatewayid', 'organization', 'organisation']);

function describeUnknownKey(key: string, known: readonly string[]): string {
  if (ownershipKeys.has(key.toLowerCase().replace(/[-_]/g, ''))) {
    return `'${key}' cannot be configured: tenant and gateway come out of the device certificate and nowhere else; remove it, and see 'merestone identity show'`;
  }
  const meant = nearestName(key, known);
  const hint = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean '${meant}'?`;
  return `unknown key ${quote(key)}; ${hint}`;
}

const reference = 'see docs/configuration.md';

function describeMissing(issue: Issue, described: z.ZodType | undefined): string {
  const choices = choicesOf(issue);
  const what = described?.description ?? (choices && `one of ${choices.join(', ')}`);
  return `'${String(issue.path.at(-1))}' is missing; ${what === undefined ? reference : `add it: ${what}`}`;
}

function describeIssue(issue: Issue, value: unknown, described: z.ZodType | undefined): string {
  const shown = quote(value);
  const hint = described?.description === undefined ? reference : `wanted here: ${described.description}`;
  const choices = choicesOf(issue);
  if (choices !== undefined) return describeChoice(shown, value, choices);
  if (issue.code === 'invalid_type') {
    const isQuoted = typeof value === 'string' && isPlainValue(value, issue.expected);
    return `${shown} is no ${kinds[issue.expected] ?? issue.expected}; ${isQuoted ? 'remove the quotes' : hint}`;
  }
  if (issue.code === 'too_big' || issue.code === 'too_small') return describeSize(issue, shown, value);
  if (issue.code === 'invalid_key') return describeKey(issue);
  return `${shown} does not fit; ${hint}`;
}

/** Whether the text would be valid without its quotes. */
function isPlainValue(text: string, wanted: string): boolean {
  if (wanted === 'boolean') return /^(?:true|false)$/.test(text);
  return /^(?:number|int)$/.test(wanted) && /^[-+]?\d+(?:\.\d+)?$/.test(text);
}

function describeKey(issue: Issue & { code: 'invalid_key' }): string {
  const [own] = issue.issues;
  if (own !== undefined && own.message !== '') return own.message;
  return `${quote(issue.path.at(-1))} cannot be a key here; ${reference}`;
}

function choicesOf(issue: Issue): string[] | undefined {
  if (issue.code === 'invalid_value') return issue.values.map(String);
  return issue.code === 'invalid_union' && 'options' in issue ? issue.options?.map(String) : undefined;
}

function describeChoice(shown: string, value: unknown, choices: readonly string[]): string {
  const meant = nearestName(String(value), choices);
  return `${shown} is not one of ${choices.join(', ')}; ${meant ? `did you mean '${meant}'?` : 'choose one of them'}`;
}

function describeSize(
  issue: Issue & { code: 'too_big' | 'too_small' },
  shown: string,
  value: unknown,
): string {
  const limit = issue.code === 'too_big' ? `at most ${issue.maximum}` : `at least ${issue.minimum}`;
  if (Array.isArray(value)) return `${value.length} entries here; write ${limit}`;
  if (typeof value === 'string') return `${value.length} characters here; write ${limit}`;
  return `${shown} is out of range; write ${limit}`;
}

const kinds: Record<string, string> = {
  object: 'mapping',
  record: 'mapping',
  array: 'list',
  int: 'whole number',
  string: 'text',
  boolean: 'true or false',
};

function quote(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  const text = typeof value === 'string' ? `'${value}'` : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** A fault stays on one line and readable, for any content of the file. */
function printable(text: string): string {
  const harmless = plain(text.slice(0, 500));
  return harmless.length < text.length ? `${harmless}…` : harmless;
}

function divide(text: string): [string, string] {
  const at = text.indexOf('; ');
  return at < 0 ? [text, 'see docs/configuration.md'] : [text.slice(0, at), text.slice(at + 2)];
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, key) => (isRecord(inner) ? inner[key] : undefined), value);
}

function isRecord(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The schema of the value at `path`; the outermost description is kept. */
function schemaAt(schema: z.ZodType, value: unknown, path: Path): z.ZodType | undefined {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodDiscriminatedUnion) {
    const tagKey = inner.def.discriminator;
    const tag = isRecord(value) ? value[tagKey] : undefined;
    const option = (inner.options as z.ZodType[]).find((each) => {
      const shape = unwrap(each);
      const literal: unknown = shape instanceof z.ZodObject && shape.shape[tagKey];
      return literal instanceof z.ZodLiteral && literal.value === tag;
    });
    return option === undefined ? undefined : schemaAt(option, value, path);
  }
  const [key, ...rest] = path;
  if (key === undefined) return inner instanceof z.ZodObject ? inner : schema;
  const next = isRecord(value) ? value[key] : undefined;
  if (inner instanceof z.ZodObject) {
    const field = inner.shape[String(key)] as z.ZodType | undefined;
    return field === undefined ? undefined : schemaAt(field, next, rest);
  }
  if (inner instanceof z.ZodArray) return schemaAt(inner.element as z.ZodType, next, rest);
  return schema;
}

function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return unwrap(schema.def.innerType as z.ZodType);
  }
  if (schema instanceof z.ZodPipe) return unwrap(schema.def.in as z.ZodType);
  return schema;
}
