import { readAnchors } from '../../identity/certificate-file.ts';
import type { IdentityOptions } from '../../identity/options.ts';
import { readSignature } from '../../identity/signature-value.ts';
import { TenantIdentity } from '../../identity/tenant-identity.ts';
import type { FailoverSpool } from '../../spool/failover/failover-spool.ts';
import type { CheckpointClaims } from '../../messages/checkpoint.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import type { Uplink } from '../../uplink/uplink.ts';

/** Live batches wait this long for the comparison at the start of the first session. */
const retainedHeadWaitMs = 1500;

export interface HeadComparison {
  uplink: Pick<Uplink, 'retained'>;
  spool: Pick<FailoverSpool, 'leaveIfSetBack'>;
  origin: OwnedOrigin;
  identity: IdentityOptions;
  /** ms since 1970 UTC. */
  nowMs: number;
}

/**
 * Compares the spool with the checkpoint that the broker retains, before anything is sent: a spool folder restored
 * from a backup would reuse sequence numbers. Rejects if the retained checkpoint is not signed by a certificate of
 * this tenant and gateway.
 */
export async function compareRetainedHead(comparison: HeadComparison): Promise<void> {
  const { uplink, spool } = comparison;
  const jws = await uplink.retained('checkpoint', retainedHeadWaitMs);
  if (jws !== undefined) spool.leaveIfSetBack(await readRetainedHead(jws, comparison));
}

/** Reads the retained checkpoint, signed by the present certificate or an earlier one. */
async function readRetainedHead(
  jws: Uint8Array,
  { origin: { tenant, gateway }, identity, nowMs }: HeadComparison,
): Promise<CheckpointClaims> {
  const { claims, certificates } = await readSignature(
    Buffer.from(jws).toString(),
    'the retained checkpoint',
  );
  const head = claims as CheckpointClaims;
  const [leaf, ...intermediates] = certificates;
  const anchors = readAnchors(identity.trust);
  const signer = TenantIdentity.verifySigner({ leaf, intermediates, anchors }, head.at, nowMs);
  const isOurs = signer.tenantId === tenant && signer.gatewayId === gateway;
  if (!isOurs || head.tenant !== tenant || head.gateway !== gateway) throw new Error('it is not ours');
  return head;
}
