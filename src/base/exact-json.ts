/** JSON of a document in which a whole number beyond 2^53 may stand as a bigint: its decimal text. To compare by. */
export function exactJson(document: unknown): string {
  return JSON.stringify(document, (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}
