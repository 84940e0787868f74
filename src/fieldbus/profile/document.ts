import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node } from 'yaml';

export interface Place {
  /** From 1. */
  line: number;
  column: number;
}

/** A profile's YAML with the way back from a value to its place. */
export interface ProfileDocument {
  value: unknown;
  /** What is no YAML, null where it is. */
  fault: (Place & { message: string }) | null;
  placeOf(path: readonly PropertyKey[]): Place;
}

/** A profile has no use for aliases by the million. */
const aliasesMax = 100;

export function parseProfileDocument(text: string): ProfileDocument {
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const broken = (offset: number, message: string): ProfileDocument => ({
    value: undefined,
    fault: { ...placeAt(offset), message: message.split('\n')[0]! },
    placeOf: () => placeAt(offset),
  });
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      stringKeys: true,
      merge: true,
      prettyErrors: false,
      logLevel: 'silent',
    });
    const problem = [...document.errors, ...document.warnings][0];
    if (problem !== undefined) return broken(problem.pos[0], problem.message);
    const value: unknown = document.toJS({ maxAliasCount: aliasesMax });
    return { value, fault: null, placeOf: (path) => placeAt(offsetOf(document, path)) };
  } catch (error) {
    // Nesting or aliases beyond all measure: the parser throws instead of telling.
    return broken(0, error instanceof Error ? error.message : String(error));
  }
}

/** Where the value at `path` begins, or the nearest thing above it that is there; a key's own place for a key. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const segment of path) {
    if (isSeq(node)) {
      node = node.items[Number(segment)];
      offset = startOf(node) ?? offset;
      continue;
    }
    const pair = isMap(node)
      ? node.items.find(({ key }) => isScalar(key) && key.value === segment)
      : undefined;
    if (pair === undefined) return offset;
    node = pair.value;
    offset = startOf(pair.key) ?? startOf(node) ?? offset;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}
