import { isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document, Node } from 'yaml';
import { createPlaceFinder, type TextPlace } from '../../base/text-place.ts';
import { decodeUtf8, type TextFault, yamlFaults } from '../../base/yaml-fault.ts';

/** A profile's YAML with the way back from a value to its place. */
export interface ProfileDocument {
  value: unknown;
  /** Why the text is no YAML; null if it is. */
  fault: (TextPlace & { message: string; hint: string }) | null;
  placeOf(path: readonly PropertyKey[]): TextPlace;
}

/** No profile needs a million aliases. */
const aliasesMax = 100;

export function parseProfileDocument(content: string | Buffer): ProfileDocument {
  const decoded = typeof content === 'string' ? content : decodeUtf8(content);
  const text = typeof decoded === 'string' ? decoded : content.toString();
  const placeAt = createPlaceFinder(text);
  const broken = ({ offset, message, hint }: TextFault): ProfileDocument => ({
    value: undefined,
    fault: { ...placeAt(offset), message, hint },
    placeOf: () => placeAt(offset),
  });
  if (typeof decoded !== 'string') return broken(decoded);
  try {
    const document = parseDocument(text, {
      stringKeys: true,
      merge: true,
      prettyErrors: false,
      logLevel: 'silent',
    });
    const [problem] = yamlFaults(text, document);
    if (problem !== undefined) return broken(problem);
    const value: unknown = document.toJS({ maxAliasCount: aliasesMax });
    return { value, fault: null, placeOf: (path) => placeAt(offsetOf(document, path)) };
  } catch (error) {
    // Excessive nesting or aliases: the parser throws instead of reporting a fault.
    const message = (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
    return broken({ offset: 0, message, hint: 'write it as a plain YAML mapping' });
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
