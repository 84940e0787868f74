/** Work in steps: at each `yield` something else may go in between. */
export type Steps<Result> = Generator<undefined, Result, undefined>;

/** Asked after each step: undefined to go on at once, else what to wait for first. */
export type Breathe = () => Promise<void> | undefined;

/** All steps, one after the other. */
export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** All steps, with room for others in between. */
export async function inTurns<Result>(steps: Steps<Result>, breathe: Breathe): Promise<Result> {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    const pause = breathe();
    if (pause !== undefined) await pause;
  }
}
