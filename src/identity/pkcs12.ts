import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import forge from 'node-forge';
import { MerestoneError } from '../base/error.ts';

/**
 * The certificates (DER) and keys of a PKCS#12 file (RFC 7292), in no particular order. forge only opens the
 * bags: it knows no elliptic curves, so what is in them is left to node:crypto.
 * Throws IdentityRefused where the password is wrong or the file is damaged.
 */
export function readPkcs12(
  file: Buffer,
  password: string,
  path: string,
): { certificates: Buffer[]; keys: KeyObject[] } {
  try {
    const { safeContents } = forge.pkcs12.pkcs12FromAsn1(
      forge.asn1.fromDer(file.toString('latin1')),
      false,
      password,
    );
    const bags = safeContents.flatMap(({ safeBags }) => safeBags);
    const { certBag, keyBag, pkcs8ShroudedKeyBag } = forge.pki.oids;
    return {
      certificates: bags.filter(({ type }) => type === certBag).map(certificateOf),
      keys: bags.filter(({ type }) => type === keyBag || type === pkcs8ShroudedKeyBag).map(keyOf),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MerestoneError('IdentityRefused', `this PKCS#12 file cannot be opened (${reason})`, {
      subject: path,
      hint: 'give its password with --password-file',
      cause: error,
    });
  }
}

function certificateOf({ cert, asn1 }: forge.pkcs12.Bag): Buffer {
  return toDer(cert ? forge.pki.certificateToAsn1(cert) : asn1);
}

function keyOf({ key, asn1 }: forge.pkcs12.Bag): KeyObject {
  const pkcs8 = key ? forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(key)) : asn1;
  return createPrivateKey({ key: toDer(pkcs8), format: 'der', type: 'pkcs8' });
}

function toDer(asn1: forge.asn1.Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'latin1');
}
