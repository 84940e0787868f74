/**
 * A smooth curve between -1 and 1: three sines whose periods share no multiple, so that it never visibly
 * repeats. A pure function of time, so a simulation needs no state and a test knows what to expect.
 * `periodMs` is the slowest of the three; `seed` tells one curve from another.
 */
export function drift(wallMs: number, periodMs: number, seed: number): number {
  const turn = (2 * Math.PI * wallMs) / periodMs;
  return (Math.sin(turn + seed) + Math.sin(turn * 2.7 + seed * 5) + Math.sin(turn * 7.3 + seed * 11)) / 3;
}

const dayMs = 86_400_000;

/** A bell around `hour` (UTC), 1 at its middle, `widthHours` from there to its shoulders. */
export function bell(wallMs: number, hour: number, widthHours: number): number {
  const now = ((wallMs % dayMs) / dayMs) * 24;
  const apart = Math.abs(now - hour);
  const distance = Math.min(apart, 24 - apart) / widthHours;
  return Math.exp(-(distance ** 2) / 2);
}
