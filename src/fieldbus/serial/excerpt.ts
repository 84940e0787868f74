/** Enough to know a telegram by, and short enough for a line of status. */
const shownMax = 40;

const escapes: Readonly<Record<number, string>> = { 9: '\\t', 10: '\\n', 13: '\\r', 34: '\\"', 92: '\\\\' };

/** The beginning of what a sensor sent: text in quotes, anything else in hex. It holds printable ASCII only. */
export function excerptOf(bytes: Uint8Array): string {
  const shown = bytes.subarray(0, shownMax);
  const cut = bytes.length > shownMax ? '…' : '';
  if (!isReadable(shown)) {
    return `${Buffer.from(shown.subarray(0, 16))
      .toString('hex')
      .replaceAll(/..(?=.)/g, '$& ')}${bytes.length > 16 ? '…' : ''}`;
  }
  return `"${[...shown].map(escaped).join('')}${cut}"`;
}

/** Whether the bytes begin as text. */
export function isReadable(bytes: Uint8Array): boolean {
  const shown = bytes.subarray(0, shownMax);
  const printable = shown.reduce((count, byte) => count + (isText(byte) ? 1 : 0), 0);
  return printable * 5 >= shown.length * 4;
}

function isText(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13;
}

function escaped(byte: number): string {
  const escape = escapes[byte];
  if (escape !== undefined) return escape;
  return isText(byte) ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
}
