/**
 * Years after the end, a clock that was never set or has a dead battery is likelier than a certificate never renewed.
 */
const lateRenewalMsMax = 365 * 86_400_000;

/** What to do about a certificate that ended that long ago, by the clock of this box. */
export function expiryRemedy(sinceMs: number, renew: string): string {
  const years = Math.floor(sinceMs / lateRenewalMsMax);
  if (years < 1) return renew;
  const span = years === 1 ? 'over a year' : `${years} years`;
  return `set the clock of this box, which is ${span} past that; if it is right, ${renew}`;
}

/** What to do about a certificate that ends; `endsBy` is the CA above it that ends first, and its file. */
export function renewal(endsBy: string | null): string {
  if (endsBy === null) return "renew it: 'merestone identity request' begins";
  return 'put the renewed certificate of that CA into that file';
}
