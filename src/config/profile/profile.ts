import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { z } from 'zod';
import { MerestoneError } from '../../base/error.ts';
import { nearestName } from '../../base/nearest-name.ts';
import { parseProfileDocument } from './profile-document.ts';
import type { ProfileDocument } from './profile-document.ts';
import { protocolSchema } from './protocol-schema.ts';
import { strayRanges } from './profile-ranges.ts';
import { profileSchema } from './profile-schema.ts';
import type { ProfileShape } from './profile-schema.ts';

/** A device profile as its file declares it, checked. */
export interface Profile {
  name: string;
  file: string;
  /** Of the file's text, hex: it goes out with the data, so that a reader knows by which map it was read. */
  sha256: string;
  shape: ProfileShape;
}

const extension = '.yaml';
/** The longest map that we ship has 20 kB. */
const fileBytesMax = 1_000_000;

/** Names of the profiles in these folders, sorted; a folder that is not there has none. */
export function profileNames(directories: readonly string[]): string[] {
  const files = directories.filter(existsSync).flatMap((directory) => readdirSync(directory));
  const names = files
    .filter((file) => file.endsWith(extension))
    .map((file) => path.basename(file, extension));
  return [...new Set(names)].sort();
}

/**
 * The profile `name` out of the first of `directories` that has it. A name in two folders is refused: a user's
 * file must not replace a built-in one unnoticed, nor the other way round.
 * Throws ProfileInvalid with `file:line:column` as its subject, or the names that there are.
 */
export function loadProfile(name: string, directories: readonly string[]): Profile {
  const isName = /^[a-z0-9][a-z0-9-]*$/.test(name);
  const files = directories
    .map((directory) => path.join(directory, `${name}${extension}`))
    .filter(existsSync);
  const [file, other] = files;
  if (!isName || file === undefined) throw unknownProfile(name, directories);
  if (other !== undefined) {
    throw new MerestoneError('ProfileInvalid', `the profile '${name}' is there twice, also as ${other}`, {
      subject: file,
      hint: 'give your own profile another name',
    });
  }
  return parseProfile(file, readProfile(file));
}

/** The same for a text that is at hand. */
export function parseProfile(file: string, text: string | Buffer): Profile {
  const document = parseProfileDocument(text);
  if (document.fault !== null) {
    const { line, column, message, hint } = document.fault;
    throw new MerestoneError('ProfileInvalid', message, {
      subject: `${file}:${line}:${column}`,
      hint,
    });
  }
  const parsed = profileSchema.safeParse(document.value);
  if (!parsed.success) throw refusal(file, document, parsed.error.issues);
  const shape = parsed.data;
  const name = path.basename(file, extension);
  if (shape.profile !== name) {
    const issue = {
      code: 'custom' as const,
      path: ['profile'],
      message: `'${shape.profile}' is not the file's name; write ${name}`,
    };
    throw refusal(file, document, [issue]);
  }
  const checkRanges = (points: readonly { name: string; unit?: string | undefined }[]): void => {
    const issues = strayRanges(shape.ranges, points, 'unit').map((unit) => ({
      code: 'custom' as const,
      path: ['ranges', unit],
      message: `no point of the profile is in ${unit}; correct the unit or remove it`,
    }));
    if (issues.length > 0) throw refusal(file, document, issues);
  };
  if (shape.protocol !== undefined) {
    const protocol = protocolSchema.safeParse(withSettings(shape.protocol, defaultSettings(shape)));
    if (!protocol.success) throw refusal(file, document, protocol.error.issues, ['protocol']);
    checkRanges(protocol.data.messages.flatMap(({ fields }) => fields));
  } else checkRanges(shape.points ?? []);
  return { name, file, sha256: createHash('sha256').update(text).digest('hex'), shape };
}

export function defaultSettings({ settings = {} }: ProfileShape): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, setting]) => [name, setting.default]));
}

/** The same with `{name}` replaced by the setting of that name in every text. */
export function withSettings(value: unknown, settings: Readonly<Record<string, string>>): unknown {
  if (typeof value === 'string') {
    return value.replace(/\{([a-z][A-Za-z0-9]*)\}/g, (whole, name: string) => settings[name] ?? whole);
  }
  if (Array.isArray(value)) return value.map((each) => withSettings(each, settings));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withSettings(each, settings)]));
}

function readProfile(file: string): Buffer {
  try {
    if (statSync(file).size > fileBytesMax) {
      throw new MerestoneError('ProfileInvalid', `has more than ${fileBytesMax} bytes`, {
        subject: file,
        hint: 'a profile declares one device; split it',
      });
    }
    return readFileSync(file);
  } catch (error) {
    if (error instanceof MerestoneError) throw error;
    throw new MerestoneError('FileUnreadable', 'may not be read', {
      subject: file,
      hint: 'run as a user with that permission, or correct its mode',
      cause: error,
    });
  }
}

/** A similar name is another device's map, and would look right: the error lists all names, the same maker's first. */
function unknownProfile(name: string, directories: readonly string[]): MerestoneError {
  const names = profileNames(directories);
  const vendor = nearestName(vendorOf(name), new Set(names.map(vendorOf)));
  const isAkin = (each: string): boolean => vendorOf(each) === vendor || (name !== '' && each.includes(name));
  const listed = [...names.filter(isAkin), ...names.filter((each) => !isAkin(each))];
  const message = `there is no profile '${name}', and one of a near name is for another device`;
  return new MerestoneError('ProfileInvalid', message, { hint: `there is ${listed.join(', ') || 'none'}` });
}

/** What the names of one maker's profiles begin with. */
function vendorOf(name: string): string {
  return name.split('-')[0]!;
}

interface Fault {
  path: readonly PropertyKey[];
  message: string;
  hint: string;
  /** A misspelt key explains the missing one, so it is reported first. */
  isKey: boolean;
}

/** The first fault in the order of the file; the next check shows the others. */
function refusal(
  file: string,
  document: ProfileDocument,
  issues: readonly z.core.$ZodIssue[],
  under: readonly string[] = [],
): MerestoneError {
  const faults = issues
    .flatMap((issue) => faultsOf(issue, under, document.value))
    .map((fault) => ({ ...fault, ...document.placeOf(fault.path) }))
    .sort((a, b) => Number(b.isKey) - Number(a.isKey) || a.line - b.line || a.column - b.column);
  const { line, column, message, hint } = faults[0]!;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  return new MerestoneError('ProfileInvalid', `${message}${more}`, {
    subject: `${file}:${line}:${column}`,
    hint,
  });
}

function isRecord(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null;
}

/** `root`: the value of the whole file. */
function faultsOf(issue: z.core.$ZodIssue, under: readonly PropertyKey[], root: unknown): Fault[] {
  const path = [...under, ...issue.path];
  const value = path.reduce<unknown>((inner, key) => (isRecord(inner) ? inner[key] : undefined), root);
  const isUnworded = issue.message === 'Invalid input';
  if (value !== undefined && isUnworded && issue.code === 'invalid_union' && issue.errors.length > 0) {
    // Of the alternatives, the one that matched furthest into the file describes the fault best.
    const alternatives = issue.errors.map((issues) => issues.flatMap((each) => faultsOf(each, path, root)));
    const depth = (faults: readonly Fault[]): number => Math.max(...faults.map((fault) => fault.path.length));
    return alternatives.sort((a, b) => depth(b) - depth(a))[0]!;
  }
  if (issue.code === 'unrecognized_keys') {
    const hint = 'correct or remove it; docs/profiles.md lists the keys';
    return issue.keys.map((key) => ({
      path: [...path, key],
      message: `unknown key '${key}'`,
      hint,
      isKey: true,
    }));
  }
  if (issue.code === 'invalid_type' && typeof value === 'string' && /^-?\d+(?:\.\d+)?$/.test(value)) {
    return [{ path, message: `'${value}' is no number`, hint: 'remove the quotes', isKey: false }];
  }
  if (value === undefined && path.length > 0 && issue.code !== 'custom') {
    const message = `'${String(path.at(-1))}' is missing`;
    return [{ path, message, hint: 'add it; docs/profiles.md lists the keys', isKey: false }];
  }
  const own = issue.code === 'invalid_key' ? (issue.issues[0] ?? issue) : issue;
  const [message, ...hints] = own.message.split('; ');
  const where = hints.length > 0 ? '' : `'${path.join('.')}': `;
  return [
    { path, message: `${where}${message}`, hint: hints.join('; ') || 'see docs/profiles.md', isKey: false },
  ];
}
