/** JSON of a document that may hold bigints (whole numbers beyond 2^53), which become decimal text. For comparisons. */
export function exactJson(document: unknown): string {
  return JSON.stringify(document, (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}
