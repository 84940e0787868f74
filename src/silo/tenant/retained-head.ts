import { readAnchors } from '../../identity/certificate-file.ts';
import type { IdentityOptions } from '../../identity/options.ts';
import { readSignature } from '../../identity/signature-value.ts';
import { TenantIdentity } from '../../identity/tenant-identity.ts';
import type { CheckpointClaims } from '../../messages/checkpoint.ts';
import type { Origin } from '../../messages/topic.ts';

/** What is live waits for this at the start of the first session. */
export const keptHeadWaitMs = 1500;

/**
 * The claims of a checkpoint that the broker kept, where it is signed by a certificate of this very tenant and
 * gateway, this one or one before it. Rejects where it is not.
 */
export async function readKeptHead(
  jws: Uint8Array,
  { tenant, gateway }: Origin,
  { trust }: IdentityOptions,
): Promise<CheckpointClaims> {
  const { claims, certificates } = await readSignature(
    Buffer.from(jws).toString(),
    'the retained checkpoint',
  );
  const head = claims as CheckpointClaims;
  const [leaf, ...intermediates] = certificates;
  const signer = TenantIdentity.verify({ leaf, intermediates, anchors: readAnchors(trust), nowMs: head.at });
  const isOurs = signer.tenantId === tenant && signer.gatewayId === gateway;
  if (!isOurs || head.tenant !== tenant || head.gateway !== gateway) throw new Error('it is not ours');
  return head;
}
