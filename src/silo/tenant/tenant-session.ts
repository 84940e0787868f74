import { inBackground } from '../../base/background.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { sleep } from '../../base/clock.ts';
import { describeError } from '../../base/error.ts';
import { releasedAtMs, version } from '../../base/version.ts';
import type { LoadedIdentity } from '../../identity/load-identity.ts';
import type { Sample } from '../../reading/sample.ts';
import type { SiloStatus, SiloUsage } from '../../status/status.ts';
import type { FailoverSpool } from '../../spool/failover/failover-spool.ts';
import type { EventBody } from '../../messages/event.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import type { Encoder } from '../../uplink/encoders/encoder.ts';
import { createEncoder } from '../../uplink/encoders/encoders.ts';
import { type SizeLimits, startUplink, type Uplink } from '../../uplink/uplink.ts';
import { Acceptance } from './forward/acceptance.ts';
import { CurrentIdentity } from './current-identity.ts';
import { ChainSigner } from './forward/chain-signer.ts';
import { EventForwarder } from './forward/event-forwarder.ts';
import { Forwarder } from './forward/forwarder.ts';
import { Intake } from './ingest/intake.ts';
import type { Journal } from './journal.ts';
import { compareRetainedHead } from './retained-head.ts';
import { gated, metered, type Sender } from './forward/metered-uplink.ts';
import type { SiloDevices } from '../protocol.ts';
import { Quotas } from './quota/quotas.ts';
import type { TenantSessionDependencies } from './session-dependencies.ts';
import { openJournal, openStorage } from './silo-storage.ts';
import { Timekeeper } from './ingest/timekeeper.ts';
import { withOversize } from './forward/uplink-status.ts';

/** Limit for the disconnect from the broker, so that the whole stop stays under 5 s. */
const uplinkStopMs = 2500;
/** At the stop, batches in memory are sent within this if there is a session; else they are lost. */
const memoryStopMs = 1500;
const memoryStopStepMs = 20;

/** A silo with a verified identity: all its data has that one tenant. */
export class TenantSession {
  readonly origin: OwnedOrigin;
  readonly #dependencies: TenantSessionDependencies;
  readonly #spool: FailoverSpool;
  readonly #journal: Journal;
  readonly #timekeeper: Timekeeper;
  readonly #intake: Intake;
  readonly #forwarder: Forwarder;
  readonly #events: EventForwarder;
  readonly #chain: ChainSigner;
  readonly #uplink: Uplink;
  /** The uplink, with its bytes counted by the quotas. */
  readonly #sender: Sender;
  readonly #quotas: Quotas;
  readonly #acceptance: Acceptance;
  #described: SiloDevices;
  readonly #bearer: CurrentIdentity;
  /** True while the uplink is held because the certificate has ended. */
  #isHeld = false;
  #sessionSince: number;
  #packetBytesMax = Infinity;
  readonly #retries: TokenBucket;
  #isHeadCompared = false;
  /** The head was compared: events and checkpoints may go as well. */
  #isBegun = false;
  #stored = 0;
  readonly #encoder: Encoder;
  #delivered = 0;

  static async open(dependencies: TenantSessionDependencies): Promise<TenantSession> {
    const { startMessage, identity, clock, logger } = dependencies;
    const { origin } = identity.identity;
    const spool = await openStorage(startMessage.options, origin, dependencies);
    try {
      const note = (event: EventBody): void => spool.note(event);
      const journal = await openJournal(startMessage.options, origin, { clock, logger, note });
      return new TenantSession(dependencies, origin, spool, journal);
    } catch (error) {
      spool.close();
      throw error;
    }
  }

  private constructor(
    dependencies: TenantSessionDependencies,
    origin: OwnedOrigin,
    spool: FailoverSpool,
    journal: Journal,
  ) {
    const { startMessage, identity, clock, time, logger, losses, edges, settled } = dependencies;
    const { uplink: uplinkOptions, quota } = startMessage.options;
    this.origin = origin;
    this.#dependencies = dependencies;
    this.#described = startMessage;
    this.#spool = spool;
    this.#journal = journal;
    this.#bearer = new CurrentIdentity(identity, clock);
    this.#sessionSince = clock.wallMs();
    this.#retries = new TokenBucket({ perSecond: 1 / 3600, burst: 1 }, clock.monotonicMs());
    const timekeeper = new Timekeeper(
      time,
      Math.max(identity.identity.notBefore, releasedAtMs),
      spool.newestTs ?? 0,
    );
    this.#timekeeper = timekeeper;
    this.#quotas = new Quotas(quota, { edges, clock, logger, spool, journal, timekeeper, losses, settled });
    const encoder = createEncoder(origin, uplinkOptions);
    this.#encoder = encoder;
    const session = () => ({ since: this.#sessionSince, epoch: spool.epoch });
    this.#uplink = startUplink(
      uplinkOptions,
      origin,
      identity,
      { birth: () => encoder.birth(session()), will: () => encoder.will(session()) },
      {
        onReady: ({ inflightMax }) => this.#sessionReady(inflightMax),
        onSizeLimit: (limits) => this.#limitSize(limits),
        onLost: () => this.#forwarder.sessionLost(),
      },
      { clock, logger },
    );
    this.#acceptance = new Acceptance({ seq: spool.status().seq, waiting: 0, accepted: 0 });
    this.#sender = metered(this.#uplink, uplinkOptions, origin, (bytes, channel) => {
      this.#quotas.sent(bytes);
      this.#chain.sent(bytes, channel);
    });
    const wiring = { clock, logger, spool, encoder, uplink: this.#sender };
    const evidence = {
      ...wiring,
      uplink: gated(this.#sender, () => this.#isBegun && this.#quotas.takesEvidence()),
    };
    this.#forwarder = new Forwarder({
      ...wiring,
      options: uplinkOptions,
      reach: () => this.#quotas.reach(),
      delivered: (samples) => {
        this.#delivered += samples;
      },
      oversize: (state, bytesMax) => this.#noteOversize(state, bytesMax),
    });
    this.#events = new EventForwarder({
      ...evidence,
      bearer: this.#bearer,
      delivered: (event) => journal.recordDelivered(event),
    });
    const options = startMessage.options.checkpoint;
    this.#chain = new ChainSigner({ ...evidence, options, bearer: this.#bearer });
    const intake = { clock, logger, spool, timekeeper, settled };
    this.#intake = new Intake(startMessage.options, {
      ...intake,
      stored: (samples) => this.#noteStored(samples),
      refused: () => this.#quotas.refused(),
    });
    spool.onRecovered = () => this.#spoolRecovered();
    if (this.#timekeeper.mode !== 'unknown') this.#intake.dateUndated();
    const { fingerprintSha256 } = identity.identity;
    journal.record('start', { version, configSha256: startMessage.configSha256, fingerprintSha256 });
    this.#mindEnd();
  }

  #noteStored(samples: number): void {
    this.#stored += samples;
    this.#forwarder.pump();
  }

  admit(samples: readonly Sample[]): void {
    this.#intake.admit(this.#quotas.admit(samples));
  }

  /** The isolate's use of CPU and memory, measured from outside. */
  observe(usage: SiloUsage): void {
    this.#quotas.observe(usage);
  }

  /** Changes the devices; the session, the spool and all counts continue. */
  describe(described: SiloDevices): void {
    this.#described = described;
    if (this.#uplink.status().state === 'online') this.#publishMeta();
  }

  /**
   * Applies a renewed certificate of the same tenant and gateway, or other CAs above the same certificate; the spool
   * and its stream continue.
   */
  renew(identity: LoadedIdentity): void {
    const previous = this.#bearer.identity;
    this.#bearer.replace(identity);
    this.#isHeld = false;
    this.#uplink.replaceCredentials(identity);
    this.#mindEnd();
    const { fingerprintSha256, notAfter } = identity.identity;
    if (fingerprintSha256 === previous.fingerprintSha256) return;
    this.#timekeeper.raiseFloor(identity.identity.notBefore);
    const change = { fingerprintSha256, previousFingerprintSha256: previous.fingerprintSha256, notAfter };
    this.#spool.note({ kind: 'identity-changed', ...change });
    this.#journal.record('identity', change);
    this.#inBackground(
      'a new data key',
      this.#spool.rotateKey().then(() => this.#chain.check(true)),
    );
  }

  /** Once a second: the clock, the quotas, the chain's signature. */
  tick(): void {
    this.#mindEnd();
    if (this.#timekeeper.check()) {
      this.#dependencies.logger.info('clock', { mode: this.#timekeeper.mode });
      this.#intake.timeModeChanged();
    }
    this.#spool.tick();
    this.#quotas.tick();
    this.#inBackground('the checkpoint', this.#chain.check());
    this.#events.pump();
  }

  /** Reports the samples dropped since the last call. */
  reportLosses(): void {
    const { losses } = this.#dependencies;
    for (const loss of losses.take()) {
      const { reason, samples } = loss;
      const [from, to] = [Math.round(loss.from), Math.round(loss.to)];
      this.#spool.note({ kind: 'samples-dropped', reason, samples, from, to });
    }
  }

  status(): Pick<SiloStatus, 'identity' | 'uplink' | 'spool' | 'batches' | 'clock' | 'samples'> {
    const { startMessage, clock } = this.#dependencies;
    const uplink = withOversize(this.#uplink.status(), this.#forwarder.oversize);
    const spool = this.#spool.status();
    const counts = { seq: spool.seq, waiting: spool.batches, accepted: uplink.batches.accepted };
    return {
      identity: this.#bearer.status,
      uplink,
      spool,
      batches: {
        lingerMs: startMessage.options.batch.lingerMs,
        unacceptedMs: this.#acceptance.unacceptedMs(counts, clock.monotonicMs()),
      },
      clock: this.#timekeeper.mode === 'good' ? 'good' : 'unknown',
      samples: {
        received: 0,
        stored: this.#stored,
        published: this.#delivered,
        dropped: { ...this.#dependencies.losses.totals },
      },
    };
  }

  /** Requeues quarantined batches; returns how many. Throws SpoolUnavailable if the disk fails. */
  retryQuarantined(by: string): number {
    const batches = this.#spool.retryRejected();
    this.#journal.record('retry', { by, batches });
    this.#dependencies.logger.info('quarantined batches are sent once more', { batches, by });
    this.#forwarder.pump();
    return batches;
  }

  /** The tenant's audit log, for acts of people and refusals. */
  get journal(): Journal {
    return this.#journal;
  }

  /** Signs the audit log's head if an entry is unsigned. */
  async signJournal(): Promise<void> {
    const signing = this.#bearer.signing();
    if (signing !== undefined) await this.#journal.sign(signing);
  }

  /** Stores all samples, sends batches in memory, signs the head, disconnects from the broker and closes the spool. */
  async stop(reason: string): Promise<void> {
    this.#intake.close();
    this.reportLosses();
    this.#journal.record('stop', { reason });
    await this.signJournal();
    await this.#emptyMemory();
    this.#events.close();
    await this.#chain.check(true).catch((error: unknown) => this.#warn('the checkpoint', error));
    await this.#uplink.stop(uplinkStopMs);
    this.#forwarder.close();
    this.#quotas.close();
    this.#spool.giveUpMemory();
    this.reportLosses();
    this.#journal.close();
    this.#spool.close();
  }

  /** Holds the uplink once the certificate has ended; releases it if the clock was wrong and is corrected. */
  #mindEnd(): void {
    const { hasEnded, endReason: reason, loaded, identity } = this.#bearer;
    if (hasEnded === this.#isHeld) return;
    this.#isHeld = hasEnded;
    if (!hasEnded) return this.#uplink.replaceCredentials(loaded);
    this.#uplink.hold(reason);
    this.#dependencies.logger.error('the certificate has ended', { reason });
    this.#journal.record('refused-certificate', { reason, fingerprintSha256: identity.fingerprintSha256 });
  }

  async #emptyMemory(): Promise<void> {
    const { clock } = this.#dependencies;
    const untilMs = clock.monotonicMs() + memoryStopMs;
    while (this.#spool.isHoldingInMemory && this.#sender.ready && clock.monotonicMs() < untilMs) {
      this.#forwarder.pump();
      this.#events.pump();
      await sleep(clock, memoryStopStepMs);
    }
  }

  /** Continues after a failing disk: undated samples, and waiting batches. */
  #spoolRecovered(): void {
    if (this.#timekeeper.mode !== 'unknown') this.#intake.dateUndated();
    this.#forwarder.pump();
  }

  /** Keeps new batches below the broker's size limit; larger stored batches wait until it rises. */
  #limitSize({ bytesMax, batchBytesMax }: SizeLimits): void {
    const overheadBytes = this.#encoder.overheadBytes(this.#spool.epoch);
    this.#intake.limitBatches(Math.max(0, batchBytesMax - overheadBytes));
    this.#forwarder.limitSize(bytesMax);
    this.#events.limitSize();
    const isRaised = bytesMax > this.#packetBytesMax;
    this.#packetBytesMax = bytesMax;
    if (isRaised) this.#sendAfterRaise();
  }

  /** After the limit rises: publishes what goes out once a session, and retries quarantined batches once an hour. */
  #sendAfterRaise(): void {
    if (this.#isBegun && this.#sender.ready) this.#publishRetained();
    const nowMs = this.#dependencies.clock.monotonicMs();
    if (this.#spool.status().rejected === 0 || !this.#retries.take(1, nowMs)) return;
    try {
      this.retryQuarantined('the uplink: the broker takes larger packets');
    } catch (error) {
      this.#warn('sending quarantined batches once more', error);
    }
  }

  /** Reports to the backend that batches wait for the broker's size limit, like a quota that is not ours. */
  #noteOversize(state: 'reached' | 'cleared', bytesMax: number): void {
    const limit = Number.isFinite(bytesMax) ? bytesMax : 0;
    this.#spool.note({ kind: 'quota', quota: 'broker-packet-bytes', limit, state });
  }

  #sessionReady(inflightMax: number): void {
    this.#sessionSince = this.#dependencies.clock.wallMs();
    if (this.#isHeadCompared) return this.#beginSession(inflightMax);
    // Only once: a broker without permission to read our own checkpoint may end the session.
    this.#isHeadCompared = true;
    const connects = this.#uplink.status().connects;
    const { origin } = this;
    const { startMessage, clock } = this.#dependencies;
    const parts = {
      uplink: this.#uplink,
      spool: this.#spool,
      origin,
      identity: startMessage.options.identity,
    };
    const compared = compareRetainedHead({ ...parts, nowMs: clock.wallMs() });
    const what = 'the comparison with the retained checkpoint';
    const begun = compared
      .catch((error: unknown) => this.#warn(what, error))
      .then(() => {
        if (this.#sender.ready && this.#uplink.status().connects === connects)
          this.#beginSession(inflightMax);
      });
    this.#inBackground(what, begun);
  }

  #beginSession(inflightMax: number): void {
    this.#isBegun = true;
    this.#publishRetained();
    this.#forwarder.sessionReady(inflightMax);
    this.#events.pump();
  }

  #publishRetained(): void {
    this.#publishMeta();
    this.#inBackground('the checkpoint', this.#chain.publish());
  }

  #publishMeta(): void {
    const meta = this.#encoder.meta({ ...this.#described, at: this.#dependencies.clock.wallMs() });
    this.#inBackground('the meta document', this.#sender.publish(meta));
  }

  #inBackground(what: string, work: Promise<unknown>): void {
    inBackground(work, (error) => this.#warn(what, error));
  }

  #warn(what: string, error: unknown): void {
    this.#dependencies.logger.warn(`${what} failed`, { reason: describeError(error) });
  }
}
