const shownMax = 80;

/**
 * Text out of a certificate, safe to show: on one line, short, and with everything but ASCII spelt out, so
 * that a letter that only looks like another gives itself away.
 */
export function quote(text: string): string {
  const cut = text.length > shownMax ? `${text.slice(0, shownMax)}...` : text;
  const spelt = cut.replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `'${spelt}'`;
}
