import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import forge from 'node-forge';
import { MerestoneError } from '../base/error.ts';
import { type MacData, macHolds, macHash } from './pkcs12-mac.ts';

type Asn1 = forge.asn1.Asn1;

/** Null: a file without a password; some programs write an empty password instead. */
type Password = string | null;

export interface Pkcs12Content {
  /** DER. */
  certificates: Buffer[];
  keys: KeyObject[];
}

/**
 * The certificates and keys of a PKCS#12 file (RFC 7292), in no particular order. forge only opens the bags: it
 * knows no elliptic curves, so node:crypto reads their content. Throws IdentityRefused if the password is wrong or
 * the file is damaged.
 */
export function readPkcs12(file: Buffer, password: string, path: string): Pkcs12Content {
  const refuse = (reason: string, hint: string, cause?: unknown): MerestoneError =>
    new MerestoneError('IdentityRefused', `this PKCS#12 file cannot be opened (${reason})`, {
      subject: path,
      hint,
      cause,
    });
  const pfx = attempt(() => parsePfx(file));
  if (pfx instanceof Error) throw refuse('it is damaged', 'copy the file again, whole', pfx);
  const { mac } = pfx;
  if (mac !== undefined && macHash(mac.digestOid) === undefined) {
    const hint = 'export it again, with -macalg sha256 where openssl does it';
    throw refuse(`its integrity check ${mac.digestOid} is not known here`, hint);
  }
  const candidates: Password[] = password === '' ? ['', null] : [password];
  const known = mac === undefined ? candidates : candidates.filter((each) => macHolds(mac, pfx.safe, each));
  if (known.length === 0) {
    const reason = password === '' ? 'it has a password' : 'its password is another';
    throw refuse(reason, 'give its password with --password-file, a text file in UTF-8');
  }
  const bags = attempt(() => pfx.contents.flatMap((content) => openContent(content, known)));
  if (!(bags instanceof Error)) return contentOf(bags);
  if (mac === undefined) {
    throw refuse('its password is another', 'give its password with --password-file', bags);
  }
  const hint = `turn it into PEM with openssl pkcs12 -in ${path} -nodes -out identity.pem, and install that`;
  throw refuse(`its encryption is not known here: ${bags.message}`, hint, bags);
}

function attempt<Result>(act: () => Result): Result | Error {
  try {
    return act();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

interface Pfx {
  /** What the MAC covers. */
  safe: Buffer;
  contents: Asn1[];
  mac: MacData | undefined;
}

/** PFX ::= SEQUENCE { version, authSafe ContentInfo, macData OPTIONAL } (RFC 7292 §4). */
function parsePfx(file: Buffer): Pfx {
  const [, authSafe, macData] = parts(forge.asn1.fromDer(file.toString('latin1')));
  const [type, wrapped] = parts(authSafe);
  if (forge.asn1.derToOid(octets(type)) !== forge.pki.oids['data'])
    throw new Error('it is signed, not sealed');
  const safe = octets(parts(wrapped)[0]);
  return {
    safe: Buffer.from(safe, 'latin1'),
    contents: parts(forge.asn1.fromDer(safe)),
    mac: macData && parseMac(macData),
  };
}

/** MacData ::= SEQUENCE { DigestInfo { AlgorithmIdentifier, digest }, salt, iterations DEFAULT 1 }. */
function parseMac(macData: Asn1): MacData {
  const [digestInfo, salt, iterations] = parts(macData);
  const [algorithm, digest] = parts(digestInfo);
  return {
    digestOid: forge.asn1.derToOid(octets(parts(algorithm)[0])),
    digest: Buffer.from(octets(digest), 'latin1'),
    salt: Buffer.from(octets(salt), 'latin1'),
    iterations: iterations === undefined ? 1 : forge.asn1.derToInteger(octets(iterations)),
  };
}

/**
 * The bags of one ContentInfo. PBES2 takes the password's UTF-8, which forge, like some exporters, has as Latin-1;
 * the older ciphers take its BMPString. One file may hold both, so each content is tried by itself.
 */
function openContent(content: Asn1, known: readonly Password[]): forge.pkcs12.Bag[] {
  const utf8 = known.map((each) => (each === null ? null : forge.util.encodeUtf8(each)));
  let failure: Error | undefined;
  for (const password of new Set([...utf8, ...known])) {
    const opened = attempt(() => forge.pkcs12.pkcs12FromAsn1(soleContent(content), false, password!));
    if (!(opened instanceof Error)) return opened.safeContents.flatMap(({ safeBags }) => safeBags);
    failure ??= opened;
  }
  throw failure!;
}

/** A PFX with nothing but this content, and without a MAC. */
function soleContent(content: Asn1): Asn1 {
  const { create, Class, Type, oidToDer, integerToDer, toDer } = forge.asn1;
  const sequence = (...values: Asn1[]): Asn1 => create(Class.UNIVERSAL, Type.SEQUENCE, true, values);
  const safe = toDer(sequence(content)).getBytes();
  const octetString = create(Class.UNIVERSAL, Type.OCTETSTRING, false, safe);
  const data = create(Class.UNIVERSAL, Type.OID, false, oidToDer(forge.pki.oids['data']!).getBytes());
  const version = create(Class.UNIVERSAL, Type.INTEGER, false, integerToDer(3).getBytes());
  return sequence(version, sequence(data, create(Class.CONTEXT_SPECIFIC, Type.NONE, true, [octetString])));
}

function parts(node: Asn1 | undefined): Asn1[] {
  if (!Array.isArray(node?.value)) throw new Error('it has another structure');
  return node.value;
}

/** BER may cut an OCTET STRING into pieces. */
function octets(node: Asn1 | undefined): string {
  if (node === undefined) throw new Error('it has another structure');
  return typeof node.value === 'string' ? node.value : node.value.map(octets).join('');
}

function contentOf(bags: readonly forge.pkcs12.Bag[]): Pkcs12Content {
  const { certBag, keyBag, pkcs8ShroudedKeyBag } = forge.pki.oids;
  return {
    certificates: bags.filter(({ type }) => type === certBag).map(certificateOf),
    keys: bags.filter(({ type }) => type === keyBag || type === pkcs8ShroudedKeyBag).map(keyOf),
  };
}

function certificateOf({ cert, asn1 }: forge.pkcs12.Bag): Buffer {
  return derOf(cert ? forge.pki.certificateToAsn1(cert) : asn1);
}

function keyOf({ key, asn1 }: forge.pkcs12.Bag): KeyObject {
  const pkcs8 = key ? forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(key)) : asn1;
  return createPrivateKey({ key: derOf(pkcs8), format: 'der', type: 'pkcs8' });
}

export function derOf(asn1: Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'latin1');
}
