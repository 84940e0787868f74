import { compactVerify } from 'jose';
import type { CompactJWSHeaderParameters } from 'jose';
import { MerestoneError } from '../base/error.ts';
import { parseCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';

export interface ReadSignature {
  claims: unknown;
  /** The signer's certificate and its intermediates; not yet verified. */
  certificates: readonly [Certificate, ...Certificate[]];
}

/**
 * Checks a signature that a Signer made against the certificate that it carries; whether to trust that certificate is
 * for TenantIdentity.verify to decide. Throws IdentityRefused; `path` is where the signature was found.
 */
export async function readSignature(jws: string, path: string): Promise<ReadSignature> {
  let certificates: Certificate[] = [];
  const keyOf = (header: CompactJWSHeaderParameters) => {
    certificates = certificatesOf(header, path);
    return certificates[0]!.publicKey;
  };
  try {
    const { payload } = await compactVerify(jws, keyOf, { algorithms: ['ES256', 'PS256'] });
    const claims: unknown = JSON.parse(Buffer.from(payload).toString());
    return { claims, certificates: certificates as [Certificate, ...Certificate[]] };
  } catch (error) {
    if (error instanceof MerestoneError) throw error;
    throw new MerestoneError('IdentityRefused', `the signature is not good (${(error as Error).message})`, {
      subject: path,
      cause: error,
    });
  }
}

function certificatesOf(header: CompactJWSHeaderParameters, path: string): Certificate[] {
  const { x5c, 'x5t#S256': thumbprint } = header;
  const certificates = (x5c ?? []).map((der) => parseCertificate(Buffer.from(der, 'base64'), path));
  const [leaf] = certificates;
  if (leaf === undefined || Buffer.from(leaf.fingerprintSha256, 'hex').toString('base64url') !== thumbprint) {
    throw new Error('it does not bring the certificate that it names');
  }
  return certificates;
}
