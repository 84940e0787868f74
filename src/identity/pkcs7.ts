import forge from 'node-forge';
import { MerestoneError } from '../base/error.ts';
import { derOf } from './pkcs12.ts';

/** The certificates of a PKCS#7 bundle (.p7b, RFC 2315 §9.1), DER each. Throws IdentityRefused. */
export function readPkcs7(file: Buffer, path: string): Buffer[] {
  try {
    const [, wrapped] = partsOf(forge.asn1.fromDer(file.toString('latin1')));
    const [signedData] = partsOf(wrapped);
    const { Class, Type } = forge.asn1;
    // `[0]`, which forge counts as NONE.
    const certificates = partsOf(signedData).find(
      ({ tagClass, type }) => tagClass === Class.CONTEXT_SPECIFIC && type === Type.NONE,
    );
    return certificates === undefined ? [] : partsOf(certificates).map(derOf);
  } catch (error) {
    throw new MerestoneError('IdentityRefused', 'this PKCS#7 bundle cannot be read', {
      subject: path,
      hint: 'copy the file again, whole',
      cause: error,
    });
  }
}

function partsOf(node: forge.asn1.Asn1 | undefined): forge.asn1.Asn1[] {
  if (!Array.isArray(node?.value)) throw new Error('no SignedData');
  return node.value;
}
