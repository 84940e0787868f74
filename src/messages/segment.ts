/** A tenant or gateway id, and so one level of a topic: nothing in it can be a wildcard or a separator. */
const segmentPattern = /^[A-Za-z0-9_-]{1,64}$/;

export function isSegment(text: string): boolean {
  return segmentPattern.test(text);
}
