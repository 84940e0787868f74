/**
 * The one way to start work that no caller awaits: the caller passes `heard`, which gets the error of a failed start.
 * `heard` must not throw.
 */
export function inBackground(work: Promise<unknown>, heard: (error: unknown) => void): void {
  work.catch(heard);
}
