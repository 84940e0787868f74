import type { Clock } from '../../base/clock.ts';
import { renewal } from '../../base/expiry.ts';
import { releasedAtMs } from '../../base/version.ts';
import type { LoadedIdentity } from '../../identity/load-identity.ts';
import type { Signer } from '../../identity/signer.ts';
import type { TenantIdentity } from '../../identity/tenant-identity.ts';
import type { IdentityStatus } from '../../status/status.ts';

/** Who can sign now, and the time of the signature, ms since 1970 UTC. */
export interface Signing extends Signer {
  at: number;
}

/**
 * The identity of a running silo. Within its time it signs and connects. Once it has ended it only shows whose the
 * spool is, so no signature is made outside of the certificate's time: a backend would refuse it.
 */
export class BorneIdentity {
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

  /** Its certificate, or a CA's above it, has ended by this box's clock. */
  get hasEnded(): boolean {
    return this.#nowMs() > this.#loaded.time.endsAt;
  }

  /** Undefined once it has ended: what is unsigned waits for the next one. */
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

  /** A clock that is behind the certificate's own beginning is wrong: then that beginning is the time. */
  #nowMs(): number {
    return Math.round(Math.max(this.#clock.wallMs(), this.#loaded.time.beginsAt, releasedAtMs));
  }
}
