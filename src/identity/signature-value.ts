import { compactVerify } from 'jose';
import type { CompactJWSHeaderParameters } from 'jose';
import { MerestoneError } from '../base/error.ts';
import { parseCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';

export interface ReadSignature {
  claims: unknown;
  /** The signer's certificate and what came with it; nobody has vouched for it yet. */
  certificates: readonly [Certificate, ...Certificate[]];
}

/**
 * Opens what a Signer made: the signature is good by the certificate that it brings, and whether that is to
 * be believed is for TenantIdentity.verify to say. Throws IdentityRefused; `path` is where it was found.
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
