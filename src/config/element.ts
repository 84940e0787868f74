import type { Path } from './yaml/yaml-document.ts';

/** An element that its schema accepted, with its place in its section. */
export interface Element<T> {
  index: number;
  value: T;
}

/** What is wrong between elements that are each sound. */
export interface RelationFault {
  path: Path;
  /** `what is wrong; what to do`. */
  text: string;
}

/** Elements whose key an earlier one has; elements without a key never match. */
export function repeated<T>(
  elements: readonly Element<T>[],
  keyOf: (value: T) => string | undefined,
): (Element<T> & { first: Element<T> })[] {
  const seen = new Map<string, Element<T>>();
  return elements.flatMap((element) => {
    const key = keyOf(element.value);
    if (key === undefined) return [];
    const first = seen.get(key);
    if (first === undefined) seen.set(key, element);
    return first === undefined ? [] : [{ ...element, first }];
  });
}
