import type { Certificate } from './certificate.ts';

/**
 * The certificates of a file as TLS sends them: the gateway's own first, then its issuer, and so on. Many CAs and
 * tools write the root first. The gateway's certificate is the first that is no CA's and issued none of the others;
 * certificates outside the chain go to the end.
 */
export function orderChain(
  certificates: readonly [Certificate, ...Certificate[]],
): [Certificate, ...Certificate[]] {
  const isIssuer = (one: Certificate): boolean =>
    certificates.some((other) => other !== one && other.issuerDer.equals(one.subjectDer));
  const leaf = certificates.find((each) => !each.isAuthority && !isIssuer(each)) ?? certificates[0];
  const left = new Set(certificates.filter((each) => each !== leaf));
  const ordered: [Certificate, ...Certificate[]] = [leaf];
  for (;;) {
    const last = ordered.at(-1)!;
    const issuer = [...left].find(({ subjectDer }) => subjectDer.equals(last.issuerDer));
    if (issuer === undefined) return [...ordered, ...left];
    left.delete(issuer);
    ordered.push(issuer);
  }
}
