import { MerestoneError } from '../base/error.ts';
import type { OwnedOrigin } from '../messages/topic.ts';
import type { Certificate } from './certificate.ts';
import { type ChainTime, checkTime, findChain, timeOf } from './certificate-chain.ts';
import { readClaim } from './certificate-profile.ts';
import type { Claim } from './certificate-profile.ts';

export interface Evidence {
  /** The gateway's own certificate. */
  leaf: Certificate;
  /** CA certificates that may stand between; nothing is taken on their word alone. */
  intermediates: readonly Certificate[];
  /** CA certificates that are trusted to name tenants. */
  anchors: readonly Certificate[];
  /** ms since 1970 UTC; where it is undefined, all is verified but the time. */
  nowMs: number | undefined;
}

/** Only this module has it, so only `verify` can construct. */
const verified = Symbol('verified');

/**
 * Who a verified certificate says this gateway is, and whose. There is no way to one but `verify`, and its
 * private fields make the type nominal: holding one is the proof, and nothing else can name a tenant.
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
   * Who signed at `signedAt`. Where a time is what is wrong, as of `nowMs`: a CA was renewed since, or the clock was
   * wrong then. Throws as `verify`.
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

  /** Of the certificate's DER, 64 hex digits. */
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

  /** When the chain that was found for it holds. */
  get time(): ChainTime {
    return this.#time;
  }
}
