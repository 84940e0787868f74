import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { version } from '../base/version.ts';
import { loadKeyWrapper } from '../identity/key-encryption-key.ts';
import type { LoadedIdentity } from '../identity/load.ts';
import type { Sample } from '../reading/sample.ts';
import type { SiloStatus, SiloUsage } from '../reading/status.ts';
import { Spool } from '../spool/spool.ts';
import type { EventBody } from '../stream/event.ts';
import type { MetaDocument, StatusDocument } from '../stream/retained.ts';
import type { Origin } from '../stream/topic.ts';
import { startUplink, type Uplink } from '../uplink/uplink.ts';
import { Acceptance } from './acceptance.ts';
import { Checkpointer } from './checkpointer.ts';
import { endIfDamaged } from './damage.ts';
import { EventForwarder } from './event-forwarder.ts';
import { Forwarder } from './forwarder.ts';
import { Intake } from './intake.ts';
import { Journal } from './journal.ts';
import type { LossAccount } from './loss-account.ts';
import { gated, metered, type Sender } from './metered-uplink.ts';
import type { SiloBirth, SiloDevices } from './protocol.ts';
import type { QuotaBook } from './quota-book.ts';
import { Quotas } from './quotas.ts';
import { Timekeeper, type TimeSources } from './timekeeper.ts';

export interface RunningSiloDependencies {
  birth: SiloBirth;
  identity: LoadedIdentity;
  clock: Clock;
  time: TimeSources;
  logger: Logger;
  losses: LossAccount;
  book: QuotaBook;
  settled: (readings: number) => void;
}

/** Leave of the broker is taken within this, so that the whole stop stays under 5 s. */
const uplinkStopMs = 2500;

/** A silo with a verified identity: everything in it bears that one tenant's name. */
export class RunningSilo {
  readonly origin: Origin;
  readonly #dependencies: RunningSiloDependencies;
  readonly #spool: Spool;
  readonly #journal: Journal;
  readonly #timekeeper: Timekeeper;
  readonly #intake: Intake;
  readonly #forwarder: Forwarder;
  readonly #events: EventForwarder;
  readonly #checkpointer: Checkpointer;
  readonly #uplink: Uplink;
  /** The uplink, by the quotas' count. */
  readonly #sender: Sender;
  readonly #quotas: Quotas;
  readonly #acceptance: Acceptance;
  #described: SiloDevices;
  #identity: LoadedIdentity;
  #sessionSince: number;
  #stored = 0;
  #delivered = 0;

  static async open(dependencies: RunningSiloDependencies): Promise<RunningSilo> {
    const { birth, identity, clock, logger } = dependencies;
    const { tenantId, gatewayId } = identity.identity;
    // A folder per tenant and gateway: another certificate finds another spool, and the old one stays sealed.
    const directory = join(birth.options.spool.directory, tenantId, gatewayId);
    const keys = await loadKeyWrapper(directory, { silo: birth.options.name });
    const origin = { tenant: tenantId, gateway: gatewayId };
    const spool = await Spool.open({ ...birth.options.spool, directory }, { origin, keys, clock, logger });
    try {
      const note = (event: EventBody): void => spool.note(event);
      const journal = Journal.open(directory, { origin, clock, logger, note });
      return new RunningSilo(dependencies, origin, spool, journal);
    } catch (error) {
      spool.close();
      throw error;
    }
  }

  private constructor(dependencies: RunningSiloDependencies, origin: Origin, spool: Spool, journal: Journal) {
    const { birth, identity, clock, time, logger, losses, book, settled } = dependencies;
    const { uplink: uplinkOptions, quota } = birth.options;
    this.origin = origin;
    this.#dependencies = dependencies;
    this.#described = birth;
    this.#spool = spool;
    this.#journal = journal;
    this.#identity = identity;
    this.#sessionSince = clock.wallMs();
    const timekeeper = new Timekeeper(time, Math.max(identity.identity.notBefore, spool.newestTs ?? 0));
    this.#timekeeper = timekeeper;
    this.#quotas = new Quotas(quota, { book, clock, logger, spool, journal, timekeeper, losses, settled });
    this.#uplink = startUplink(
      uplinkOptions,
      origin,
      identity,
      { status: (online) => encodeJson(this.#statusDocument(online)) },
      {
        onReady: ({ inflightMax }) => this.#sessionReady(inflightMax),
        onLost: () => this.#forwarder.sessionLost(),
      },
      { clock, logger },
    );
    this.#acceptance = new Acceptance({ seq: spool.status().seq, waiting: 0, accepted: 0 });
    this.#sender = metered(this.#uplink, uplinkOptions, origin, (bytes) => this.#quotas.sent(bytes));
    const wiring = { clock, logger, spool, uplink: this.#sender };
    const evidence = { ...wiring, uplink: gated(this.#sender, () => this.#quotas.takesEvidence()) };
    this.#forwarder = new Forwarder({
      ...wiring,
      options: uplinkOptions,
      reach: () => this.#quotas.reach(),
      delivered: (samples) => {
        this.#delivered += samples;
      },
    });
    this.#events = new EventForwarder({
      ...evidence,
      signer: () => this.#identity.signer,
      delivered: (event) => journal.recordDelivered(event),
    });
    this.#checkpointer = new Checkpointer({ ...evidence, signer: () => this.#identity.signer });
    this.#intake = new Intake(birth.options, {
      clock,
      logger,
      spool,
      timekeeper,
      settled,
      stored: (samples) => {
        this.#stored += samples;
        this.#forwarder.pump();
      },
      refused: () => this.#quotas.refused(),
    });
    if (this.#timekeeper.mode !== 'unknown') this.#intake.dateHeld();
    const { fingerprintSha256 } = identity.identity;
    journal.record('start', { version, configSha256: birth.configSha256, fingerprintSha256 });
  }

  admit(samples: readonly Sample[]): void {
    this.#intake.admit(this.#quotas.admit(samples));
  }

  /** What its isolate takes, as it was measured from outside. */
  observe(usage: SiloUsage): void {
    this.#quotas.observe(usage);
  }

  /** Its devices are others now; the session, the spool and all counts go on. */
  describe(described: SiloDevices): void {
    this.#described = described;
    if (this.#uplink.status().state === 'online') this.#publishMeta();
  }

  /** A renewed certificate of the same tenant and gateway takes over; the spool and its stream go on. */
  renew(identity: LoadedIdentity): void {
    const previous = this.#identity.identity;
    this.#identity = identity;
    this.#timekeeper.raiseFloor(identity.identity.notBefore);
    this.#uplink.replaceCredentials(identity);
    const { fingerprintSha256, notAfter } = identity.identity;
    const previousFingerprintSha256 = previous.fingerprintSha256;
    const change = { fingerprintSha256, previousFingerprintSha256, notAfter };
    this.#spool.note({ kind: 'identity-changed', ...change });
    this.#journal.record('identity', change);
    this.#inBackground(
      'a new data key',
      this.#spool.rotateKey().then(() => this.#checkpointer.check(true)),
    );
  }

  /** Once a second: the clock, the quotas, the chain's signature. */
  tick(): void {
    if (this.#timekeeper.check()) {
      this.#dependencies.logger.info('clock', { mode: this.#timekeeper.mode });
      this.#intake.timeModeChanged();
    }
    this.#quotas.tick();
    this.#inBackground('the checkpoint', this.#checkpointer.check());
    this.#events.pump();
  }

  /** Makes durable what was dropped since the last call; what the disk does not take waits for the next. */
  reportLosses(): void {
    const { losses } = this.#dependencies;
    for (const loss of losses.take()) {
      const { reason, samples } = loss;
      const [from, to] = [Math.round(loss.from), Math.round(loss.to)];
      try {
        this.#spool.note({ kind: 'samples-dropped', reason, samples, from, to });
      } catch (error) {
        endIfDamaged(error);
        losses.putBack(loss);
        this.#warn('the report of dropped samples', error);
      }
    }
  }

  status(): Pick<SiloStatus, 'identity' | 'uplink' | 'spool' | 'batches' | 'clock' | 'samples'> {
    const { fingerprintSha256, notBefore, notAfter, warnings } = this.#identity.identity;
    const { birth, clock } = this.#dependencies;
    const uplink = this.#uplink.status();
    const spool = this.#spool.status();
    const counts = { seq: spool.seq, waiting: spool.batches, accepted: uplink.batches.accepted };
    return {
      identity: { fingerprintSha256, notBefore, notAfter, warnings: [...warnings] },
      uplink,
      spool,
      batches: {
        lingerMs: birth.options.batch.lingerMs,
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

  /** What an operator's act or a refusal means for this tenant, for good. */
  get journal(): Journal {
    return this.#journal;
  }

  /** Signs the audit log's head, where something in it stands unsigned. */
  async signJournal(): Promise<void> {
    await this.#journal.sign(this.#identity.signer);
  }

  /** Stores what came, signs the head, takes leave of the broker and closes the spool. */
  async stop(reason: string): Promise<void> {
    this.#intake.close();
    this.reportLosses();
    this.#journal.record('stop', { reason });
    this.#events.close();
    await this.signJournal();
    await this.#checkpointer.check(true).catch((error: unknown) => this.#warn('the checkpoint', error));
    await this.#uplink.stop(uplinkStopMs);
    this.#forwarder.close();
    this.#quotas.close();
    this.#journal.close();
    this.#spool.close();
  }

  #sessionReady(inflightMax: number): void {
    this.#sessionSince = this.#dependencies.clock.wallMs();
    this.#publishMeta();
    this.#inBackground('the checkpoint', this.#checkpointer.publish());
    this.#forwarder.sessionReady(inflightMax);
    this.#events.pump();
  }

  #publishMeta(): void {
    const meta = encodeJson(this.#metaDocument());
    const sent = this.#sender.publish({
      channel: 'meta',
      payload: meta,
      retain: true,
      contentType: 'application/json',
    });
    this.#inBackground('the meta document', sent);
  }

  #statusDocument(online: boolean): StatusDocument {
    return { v: 1, ...this.origin, online, since: this.#sessionSince, version, epoch: this.#spool.epoch };
  }

  #metaDocument(): MetaDocument {
    const { devices, configSha256 } = this.#described;
    return { v: 1, ...this.origin, at: this.#dependencies.clock.wallMs(), version, configSha256, devices };
  }

  #inBackground(what: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#warn(what, error));
  }

  #warn(what: string, error: unknown): void {
    this.#dependencies.logger.warn(`${what} failed`, { reason: describeError(error) });
  }
}

function encodeJson(document: MetaDocument | StatusDocument): Buffer {
  return Buffer.from(JSON.stringify(document));
}
