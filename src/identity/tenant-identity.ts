import { MerestoneError } from '../base/error.ts';
import type { OwnedOrigin } from '../messages/topic.ts';
import type { Certificate } from './certificate.ts';
import { type ChainTime, checkTime, findChain, timeOf } from './certificate-chain.ts';
import { readClaim } from './certificate-profile.ts';
import type { Claim } from './certificate-profile.ts';

/*
 * From a certificate to a tenant. This room reads and verifies a silo's certificate, chain and private key; it also
 * requests, inspects and installs them, and wraps the keys of a spool. Called by `silo/tenant` for the running silo,
 * by the `identity`, `check` and `doctor` commands, and by `audit` and `consume` to verify signatures.
 *
 * - Only `TenantIdentity.verify` can name a tenant; no configuration, flag or message can.
 * - A certificate is parsed strictly from its DER: an ambiguous encoding is refused, never interpreted.
 * - Every refusal says which file, why, and what to do.
 */

export interface Evidence {
  /** The gateway's own certificate. */
  leaf: Certificate;
  /** Untrusted CA certificates that may connect the leaf to an anchor. */
  intermediates: readonly Certificate[];
  /** CA certificates that are trusted to name tenants. */
  anchors: readonly Certificate[];
  /** ms since 1970 UTC; undefined: everything except time is verified. */
  nowMs: number | undefined;
}

/** Private to this module, so that only `verify` can construct a TenantIdentity. */
const verified = Symbol('verified');

/**
 * The tenant and gateway that a verified certificate names. Only `verify` makes one, and its private fields make the
 * type nominal: to hold one is the proof, and nothing else can name a tenant.
 */
export class TenantIdentity {
  readonly #claim: Claim;
  readonly #certificate: Certificate;
  readonly #time: ChainTime;

  private constructor(token: symbol, certificate: Certificate, claim: Claim, time: ChainTime) {
    if (token !== verified) throw new TypeError('a TenantIdentity comes out of a verified certificate only');
    this.#certificate = certificate;
    this.#claim = claim;
    this.#time = Object.freeze(time);
    Object.freeze(this);
  }

  /** Throws IdentityRefused (profile), IdentityOutOfTime, IdentityUntrusted. */
  static verify({ leaf, intermediates, anchors, nowMs }: Evidence): TenantIdentity {
    const claim = readClaim(leaf);
    if (nowMs !== undefined) checkTime(leaf, nowMs);
    const chain = findChain(leaf, intermediates, anchors, nowMs);
    return new TenantIdentity(verified, leaf, claim, timeOf(chain));
  }

  /**
   * Who signed at `signedAt`. If the chain was not in time then, it is verified as of `nowMs`: a CA was renewed since,
   * or the clock was wrong. Throws as `verify`.
   */
  static verifySigner(evidence: Omit<Evidence, 'nowMs'>, signedAt: number, nowMs: number): TenantIdentity {
    try {
      return TenantIdentity.verify({ ...evidence, nowMs: signedAt });
    } catch (error) {
      if (!(error instanceof MerestoneError && error.code === 'IdentityOutOfTime')) throw error;
      return TenantIdentity.verify({ ...evidence, nowMs });
    }
  }

  get tenantId(): string {
    return this.#claim.tenantId;
  }

  get gatewayId(): string {
    return this.#claim.gatewayId;
  }

  /** Whose stream this gateway's is. */
  get origin(): OwnedOrigin {
    const origin = { tenant: this.#claim.tenantId, gateway: this.#claim.gatewayId };
    return Object.freeze(origin) as OwnedOrigin;
  }

  get warnings(): readonly string[] {
    return this.#claim.warnings;
  }

  /** SHA-256 of the certificate's DER, 64 hex digits. */
  get fingerprintSha256(): string {
    return this.#certificate.fingerprintSha256;
  }

  /** The certificate's own time, ms since 1970 UTC. */
  get notBefore(): number {
    return this.#certificate.notBefore;
  }

  get notAfter(): number {
    return this.#certificate.notAfter;
  }

  /** When the chain that was found for it is in time. */
  get time(): ChainTime {
    return this.#time;
  }
}
