/**
 * The one way to start work that nobody waits for: whoever starts it says who hears of its fault. `heard` must not
 * throw.
 */
export function inBackground(work: Promise<unknown>, heard: (error: unknown) => void): void {
  work.catch(heard);
}
