/** Freezes a value and all that it holds. Returns it. A structured clone or a parsed copy is thawed again. */
export function deepFreeze<T>(value: T): T {
  // The elements of a typed array cannot be frozen.
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    Object.values(Object.freeze(value)).forEach(deepFreeze);
  }
  return value;
}
