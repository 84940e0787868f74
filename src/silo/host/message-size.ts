/** A key, a number, the braces: what a value costs besides its text. */
const valueBytes = 8;

/**
 * Approximate bytes of a message from a thread's port; counting stops at `bytesMax`. Infinity if it is larger, or
 * contains a value that no silo sends (a buffer, a port, a map).
 */
export function messageSize(message: unknown, bytesMax: number): number {
  const left: unknown[] = [message];
  let bytes = 0;
  while (left.length > 0) {
    const value = left.pop();
    bytes += valueBytes;
    if (typeof value === 'string') bytes += value.length;
    else if (Array.isArray(value)) bytes += addAll(value, left, bytesMax);
    else if (typeof value === 'object' && value !== null) {
      if (Object.getPrototypeOf(value) !== Object.prototype) return Infinity;
      const names = Object.keys(value);
      bytes += addAll(names, left, bytesMax);
      bytes += addAll(Object.values(value), left, bytesMax);
    }
    if (bytes > bytesMax) return Infinity;
  }
  return bytes;
}

/** Bounds the list of values still to count, too. */
function addAll(values: readonly unknown[], left: unknown[], bytesMax: number): number {
  if (values.length * valueBytes > bytesMax) return Infinity;
  for (const value of values) left.push(value);
  return 0;
}
