/**
 * What a terminal obeys, or shows as something else than it is: control characters (C0, DEL, C1), marks of
 * direction and other invisible ones, separators of lines and paragraphs.
 */
const obeyed = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** One line of text from outside, such as a device's answer, that can do nothing to a terminal. */
export function plain(text: string): string {
  return text.replace(obeyed, '\uFFFD');
}

/** The same for every text in a document, keys included: for all that is printed as words on a terminal. */
export function plainDocument<T>(document: T): T {
  return plainValue(document) as T;
}

function plainValue(value: unknown): unknown {
  if (typeof value === 'string') return plain(value);
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [plain(key), plainValue(inner)]));
}

/** JSON on one line that says the same and does nothing to a terminal either: JSON.stringify spells out C0 alone. */
export function plainJson(document: unknown): string {
  return plainJsonText(JSON.stringify(document));
}

/** The same document for a text that is JSON already: only its strings can hold such characters. */
export function plainJsonText(json: string): string {
  return json.replace(obeyed, spell);
}

function spell(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
