const shownMax = 80;

/**
 * Text from a certificate, safe to show: one line, short, and with everything but ASCII as escapes, so that
 * look-alike letters are visible.
 */
export function quote(text: string): string {
  const cut = text.length > shownMax ? `${text.slice(0, shownMax)}...` : text;
  const spelt = cut.replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `'${spelt}'`;
}
