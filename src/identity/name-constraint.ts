import type { Certificate } from './certificate.ts';
import { NameKind } from './general-name.ts';
import type { DistinguishedName, GeneralName, NameAttribute } from './general-name.ts';

/**
 * Why `authority`'s name constraints (RFC 5280 §4.2.1.10) forbid a certificate below it, or undefined.
 * A permitted subtree must match to the byte and an excluded one matches in any letter case, so that each errs on
 * the side of refusing: a CA constrained to O=acme cannot name a tenant ACME. A name of a kind that is not compared
 * here (DNS, e-mail, …) is refused if that kind is constrained.
 */
export function constraintBroken(authority: Certificate, below: Certificate): string | undefined {
  const { permitted, excluded } = authority.nameConstraints ?? { permitted: [], excluded: [] };
  // A subject is a directory name too.
  const names = [{ kind: NameKind.Directory, directory: below.subject }, ...below.alternativeNames];
  for (const name of names) {
    const alike = ({ kind }: GeneralName): boolean => kind === name.kind;
    const what = name.kind === NameKind.Directory ? 'subject' : 'alternative name';
    const allowed = permitted.filter(alike);
    if (allowed.length > 0 && !allowed.some((subtree) => isWithin(name, subtree, sameBytes) === true)) {
      return `permits no such ${what}`;
    }
    if (excluded.filter(alike).some((subtree) => isWithin(name, subtree, sameLetters) !== false)) {
      return `excludes such ${what === 'subject' ? 'a' : 'an'} ${what}`;
    }
  }
  return undefined;
}

type SameAttribute = (a: NameAttribute, b: NameAttribute) => boolean;

/** Undefined if this kind of name is not compared. */
function isWithin(name: GeneralName, subtree: GeneralName, same: SameAttribute): boolean | undefined {
  if (name.directory !== undefined && subtree.directory !== undefined) {
    return startsWith(name.directory, subtree.directory, same);
  }
  if (name.uri !== undefined && subtree.uri !== undefined) return hostIsWithin(name.uri, subtree.uri);
  return undefined;
}

function startsWith(name: DistinguishedName, prefix: DistinguishedName, same: SameAttribute): boolean {
  return prefix.every((relative, index) => {
    const own = name[index];
    return own?.length === relative.length && relative.every((each, part) => same(each, own[part]!));
  });
}

function sameBytes(a: NameAttribute, b: NameAttribute): boolean {
  return a.type === b.type && a.value.equals(b.value);
}

function sameLetters(a: NameAttribute, b: NameAttribute): boolean {
  const fold = ({ value }: NameAttribute): string =>
    value.toString('utf8').trim().replace(/\s+/g, ' ').toLowerCase();
  return a.type === b.type && fold(a) === fold(b);
}

/** A URI's constraint is a host, with a leading dot every host of a domain, and empty every host. */
function hostIsWithin(uri: string, limit: string): boolean | undefined {
  if (limit === '') return true;
  const host = /^[a-z][a-z0-9+.-]*:\/\/([A-Za-z0-9._-]+)(?=[/?#]|$)/i.exec(uri)?.[1]?.toLowerCase();
  if (host === undefined) return undefined;
  const folded = limit.toLowerCase();
  return folded.startsWith('.') ? host.endsWith(folded) : host === folded;
}
