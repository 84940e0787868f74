import type { Clock } from '../../base/clock.ts';
import { renewal } from '../../base/expiry.ts';
import { releasedAtMs } from '../../base/version.ts';
import type { LoadedIdentity } from '../../identity/load-identity.ts';
import type { Signer } from '../../identity/signer.ts';
import type { TenantIdentity } from '../../identity/tenant-identity.ts';
import type { IdentityStatus } from '../../status/status.ts';

/** A signer that may sign now, and the time of the signature, ms since 1970 UTC. */
export interface Signing extends Signer {
  at: number;
}

/**
 * The identity of a running silo. While its certificate is valid it signs and connects. Once the certificate has
 * ended, the identity only shows whose the spool is: a backend would refuse a signature outside of its time.
 */
export class CurrentIdentity {
  readonly #clock: Clock;
  #loaded: LoadedIdentity;

  constructor(loaded: LoadedIdentity, clock: Clock) {
    this.#loaded = loaded;
    this.#clock = clock;
  }

  get loaded(): LoadedIdentity {
    return this.#loaded;
  }

  get identity(): TenantIdentity {
    return this.#loaded.identity;
  }

  replace(loaded: LoadedIdentity): void {
    this.#loaded = loaded;
  }

  /** True if its certificate, or a CA of its chain, has ended by this box's clock. */
  get hasEnded(): boolean {
    return this.#nowMs() > this.#loaded.time.endsAt;
  }

  /** Undefined once it has ended: unsigned data waits for the next certificate. */
  signing(): Signing | undefined {
    const at = this.#nowMs();
    const { signer, time } = this.#loaded;
    return at > time.endsAt ? undefined : { at, sign: (claims) => signer.sign(claims) };
  }

  get status(): IdentityStatus {
    const { fingerprintSha256, notBefore, warnings } = this.identity;
    const { endsAt: notAfter, endsBy } = this.#loaded.time;
    return { fingerprintSha256, notBefore, notAfter, endsBy, warnings: [...warnings] };
  }

  /** For the uplink's status, the log and the audit log. */
  get endReason(): string {
    const { endsAt, endsBy } = this.#loaded.time;
    const whose = endsBy === null ? 'its certificate' : `the CA ${endsBy} above its certificate`;
    const end = `${new Date(endsAt).toISOString().slice(0, 19)}Z`;
    return `${whose} ended on ${end}: samples are stored, and nothing is signed or sent; ${renewal(endsBy)}`;
  }

  /** The time of signatures. A clock before the certificate's beginning is wrong; that beginning is used instead. */
  #nowMs(): number {
    return Math.round(Math.max(this.#clock.wallMs(), this.#loaded.time.beginsAt, releasedAtMs));
  }
}
