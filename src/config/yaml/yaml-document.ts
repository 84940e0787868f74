import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  type Document,
  type Node,
  type Pair,
} from 'yaml';
import { createPlaceFinder } from '../../base/text-place.ts';
import { decodeUtf8, lowerFirst, yamlFaults } from '../../base/yaml-fault.ts';
import type { ConfigFault } from '../options.ts';

export type Path = readonly PropertyKey[];

/** A configuration's text, parsed, with the way back from a value to its place. */
export interface Source {
  /** The parsed value; of a text with faults, what can be read in spite of them; undefined if nothing can. */
  value: unknown;
  faults: ConfigFault[];
  /** The place of the value at `path`, or of the nearest existing value above it; `key` asks for its key. */
  placeOf(path: Path, part?: 'key' | 'value'): { line: number; column: number };
}

/** Aliases share memory and cost nothing until code walks through them: at most this many values are walked. */
const valuesMax = 200_000;
/** YAML that is malformed early causes faults to its end: the first ones are enough. */
const syntaxFaultsMax = 20;

/** YAML 1.2 core with merge keys. Never throws: what is wrong comes as faults. */
export function parseSource(file: string, content: string | Buffer): Source {
  const decoded = typeof content === 'string' ? content : decodeUtf8(content);
  const text = typeof decoded === 'string' ? decoded : content.toString();
  const placeAt = createPlaceFinder(text);
  const broken = (message: string, hint: string, offset = 0): Source => ({
    value: undefined,
    faults: [{ file, ...placeAt(offset), message, hint }],
    placeOf: () => placeAt(0),
  });

  if (typeof decoded !== 'string') return broken(decoded.message, decoded.hint, decoded.offset);
  let document: Document.Parsed;
  try {
    document = parseDocument(text, {
      stringKeys: true,
      merge: true,
      prettyErrors: false,
      logLevel: 'error',
    });
  } catch (error) {
    return broken(`not readable as YAML: ${firstLine(error)}`, 'write it as a plain YAML mapping');
  }
  const problems = yamlFaults(text, document).slice(0, syntaxFaultsMax);
  if (problems.length > 0) {
    const faults = problems.map(({ offset, message, hint }) => ({ file, ...placeAt(offset), message, hint }));
    return { value: readable(document), faults, placeOf: () => placeAt(0) };
  }

  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: -1 });
  } catch (error) {
    return broken(`an alias cannot be followed: ${firstLine(error)}`, 'write the value out');
  }
  if (!isWalkable(value)) {
    return broken(
      `expands to more than ${valuesMax} values, or an anchor holds itself`,
      'use fewer aliases, or write the values out',
    );
  }
  const resolve = aliasResolver(document);
  return {
    value,
    faults: [],
    placeOf: (path, part = 'value') => placeAt(offsetOf(document, resolve, path, part)),
  };
}

/** What can be read of a document with faults, such as where the daemon is reached. */
function readable(document: Document.Parsed): unknown {
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return isWalkable(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isWalkable(value: unknown): boolean {
  let left = valuesMax;
  const walk = (each: unknown, depth: number): boolean => {
    if (left-- <= 0 || depth > 64) return false;
    if (typeof each !== 'object' || each === null) return true;
    return Object.values(each).every((inner) => walk(inner, depth + 1));
  };
  return walk(value, 0);
}

type Resolve = (node: unknown) => unknown;

/** The value of an alias. Finding it means a walk through the document, so each is looked up once. */
function aliasResolver(document: Document.Parsed): Resolve {
  const found = new Map<Alias, unknown>();
  return (node) => {
    if (!isAlias(node)) return node;
    if (!found.has(node)) found.set(node, node.resolve(document));
    return found.get(node);
  };
}

function offsetOf(document: Document.Parsed, resolve: Resolve, path: Path, part: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, segment] of path.entries()) {
    const step = child(resolve, node, String(segment));
    if (step === undefined) return offset;
    const wantsKey = part === 'key' && index === path.length - 1;
    offset = (wantsKey ? startOf(step.key) : (startOf(step.value) ?? startOf(step.key))) ?? offset;
    node = step.value;
  }
  return offset;
}

function child(
  resolve: Resolve,
  parent: unknown,
  segment: string,
): { key?: unknown; value: unknown } | undefined {
  const node = resolve(parent);
  if (isSeq(node)) {
    const value = node.items[Number(segment)];
    return value === undefined ? undefined : { value };
  }
  if (!isMap(node)) return undefined;
  const own = node.items.find((pair) => keyOf(pair) === segment);
  if (own !== undefined) return own;
  for (const pair of node.items) {
    if (keyOf(pair) !== '<<') continue;
    const merged = isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const source of merged) {
      const found = child(resolve, source, segment);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function keyOf(pair: Pair): string | undefined {
  return isScalar(pair.key) ? String(pair.key.value) : undefined;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

function firstLine(error: unknown): string {
  return lowerFirst((error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200));
}
