import type { Clock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import { releasedAtMs } from '../../base/version.ts';
import { loadEndedIdentity, loadIdentity, type LoadedIdentity } from '../../identity/load-identity.ts';
import { hasSpool } from '../../spool/storage/layout.ts';
import { type ClockTrust, judgeClock } from './ingest/clock-trust.ts';
import type { SiloOptions } from '../options.ts';
import { folderOf } from './silo-storage.ts';
import type { TimeSources } from './ingest/timekeeper.ts';

/** The files now contain a certificate of another tenant or gateway. */
export class ForeignIdentity extends MerestoneError {
  constructor(certificate: string) {
    super('IdentityRefused', 'the certificate names another tenant or gateway than when this silo started', {
      subject: certificate,
      hint: 'put the old one back, or restart the gateway if this is meant: the old spool stays sealed off',
    });
  }
}

/** A silo's certificate files, and the tenant and gateway that they proved first, which never change. */
export class IdentityFiles {
  readonly #options: SiloOptions;
  readonly #clock: Clock;
  readonly #time: TimeSources;
  #proved: LoadedIdentity | undefined;

  constructor(options: SiloOptions, clock: Clock, time: TimeSources) {
    this.#options = options;
    this.#clock = clock;
    this.#time = time;
  }

  /** Loads the files. Throws as `loadIdentity`, and ForeignIdentity. */
  load(): LoadedIdentity {
    const loaded = this.#loadInTimeOrEnded(Math.max(this.#clock.wallMs(), releasedAtMs));
    const { tenantId, gatewayId } = loaded.identity;
    const proved = this.#proved?.identity;
    if (proved !== undefined && (tenantId !== proved.tenantId || gatewayId !== proved.gatewayId)) {
      throw new ForeignIdentity(this.#options.identity.certificate);
    }
    this.#proved = loaded;
    return loaded;
  }

  /** Loads the files if the certificate or the CAs above it changed; else undefined. Throws as `load`. */
  loadChanged(): LoadedIdentity | undefined {
    const before = this.#proved;
    const loaded = this.load();
    const isSame =
      loaded.certificatePem === before?.certificatePem && loaded.time.endsAt === before.time.endsAt;
    return isSame ? undefined : loaded;
  }

  /**
   * An ended certificate still shows whose the spool is, so the silo may go on storing if a valid certificate of this
   * tenant and gateway began that spool.
   */
  #loadInTimeOrEnded(nowMs: number): LoadedIdentity {
    try {
      return loadIdentity(this.#options.identity, nowMs, this.#clockTrust());
    } catch (error) {
      const isEnded =
        error instanceof MerestoneError && error.code === 'IdentityOutOfTime' && !error.retryable;
      if (!isEnded) throw error;
      const ended = loadEndedIdentity(this.#options.identity, nowMs);
      if (!this.#mayStore(ended)) throw error;
      return ended;
    }
  }

  #mayStore({ identity }: LoadedIdentity): boolean {
    const { origin, fingerprintSha256 } = identity;
    if (this.#proved !== undefined) return this.#proved.identity.fingerprintSha256 === fingerprintSha256;
    return hasSpool(folderOf(this.#options, origin));
  }

  /** A clock that is still in 1970 must not make a good certificate appear not yet valid. */
  #clockTrust(): ClockTrust {
    return judgeClock({
      synchronized: this.#time.synchronized(),
      setFromHardware: this.#time.setFromHardware,
      wallMs: this.#clock.wallMs(),
      monotonicMs: this.#clock.monotonicMs(),
      floorMs: releasedAtMs,
    });
  }
}
