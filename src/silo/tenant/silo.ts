import { deepFreeze } from '../../base/deep-freeze.ts';
import { inBackground } from '../../base/background.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import { describeError, MerestoneError } from '../../base/error.ts';
import { FaultState } from '../../base/fault-state.ts';
import { createLogger, type Logger } from '../../base/logger.ts';
import type { LoadedIdentity } from '../../identity/load-identity.ts';
import { readingsOf, type Sample } from '../../reading/sample.ts';
import type { SiloStatus, SiloUsage } from '../../status/status.ts';
import type { AuditDetails, AuditKind } from '../../audit/audit-entry.ts';
import { ForeignIdentity, IdentityFiles } from './identity-files.ts';
import { Journal } from './journal.ts';
import { LossAccount } from '../loss-count.ts';
import type { AuditAct, SiloBirth, SiloChannel, SiloDevices, ToSilo } from '../protocol.ts';
import { limitsOf, QuotaBook } from './quota/quota-edges.ts';
import { RefusalRation } from './refusal-limit.ts';
import { ReportPace } from './report-throttle.ts';
import { RunningSilo } from './tenant-session.ts';
import type { TimeSources } from './ingest/timekeeper.ts';

/** How often the clock, the counters and the gateway's picture of this silo are brought up to date. */
const tickMs = 1000;
/** How often the certificate files are looked at: a renewal takes effect within this, without a restart. */
const identityCheckTicks = 10;
/** How often the audit log is signed, where it has grown. */
const journalSignTicks = 60;

/** A silo's process whose gateway was killed needs up to 5 s to store what it has and take leave. */
const heldPatienceMs = 8000;
const heldRetryMs = 100;

type Stage =
  | { at: 'starting' }
  /** For a certificate to begin: the clock may be behind, and then samples need not be lost for it. */
  | { at: 'waiting'; reason: string }
  | { at: 'refused'; reason: string }
  | { at: 'running'; silo: RunningSilo }
  | { at: 'stopped' };

/**
 * One tenant's isolate, seen from its door. Without a verified identity it stores and sends nothing; with
 * one, everything happens in a RunningSilo that bears it.
 */
export class Silo {
  #birth: SiloBirth;
  readonly #channel: SiloChannel;
  readonly #clock: Clock;
  readonly #time: TimeSources;
  readonly #identity: IdentityFiles;
  readonly #logger: Logger;
  readonly #losses = new LossAccount();
  readonly #lossPace = new ReportPace();
  readonly #book: QuotaBook;
  readonly #refusals = new RefusalRation();
  readonly #ticking: FaultState;
  #usage: SiloUsage | null = null;
  #stage: Stage = { at: 'starting' };
  /** Why the certificate files as they are now were not taken up. */
  #renewalFault: string | null = null;
  #received = 0;
  #ticks = 0;
  #checking: Promise<void> | undefined;

  constructor(birth: SiloBirth, channel: SiloChannel, clock: Clock, time: TimeSources) {
    // It crossed a port, which thawed it.
    this.#birth = deepFreeze(birth);
    this.#channel = channel;
    this.#clock = clock;
    this.#time = time;
    this.#identity = new IdentityFiles(birth.options, clock, time);
    this.#book = new QuotaBook(limitsOf(birth.options));
    this.#logger = createLogger((record) => channel.post({ type: 'log', ...record }), 'debug');
    this.#ticking = new FaultState("the silo's work of every second", { clock, logger: this.#logger });
  }

  async start(): Promise<void> {
    await this.#begin();
    this.#scheduleTick();
  }

  async handle(message: Exclude<ToSilo, { type: 'start' }>): Promise<void> {
    switch (message.type) {
      case 'samples':
        return this.#admit(message.samples);
      case 'devices':
        return this.#describe(message);
      case 'lost':
        return this.#losses.add(message);
      case 'request':
        return this.#answer(message);
      case 'usage':
        return this.#observe(message.usage);
      case 'quota':
        this.#book.limit(message.quota, message.limit);
        return this.#book.stand(message.quota, message.state === 'reached');
      case 'record':
        return this.#record(message.act);
      case 'stop':
        return this.#stop();
    }
  }

  #describe({ devices, configSha256 }: SiloDevices): void {
    this.#birth = deepFreeze({ ...this.#birth, devices, configSha256 });
    if (this.#stage.at === 'running') this.#stage.silo.describe({ devices, configSha256 });
  }

  #admit(samples: Sample[]): void {
    this.#received += samples.length;
    if (this.#stage.at === 'running') return this.#stage.silo.admit(samples);
    const times = samples.map((sample) => sample.wallMs);
    this.#losses.add({
      reason: 'no-identity',
      samples: samples.length,
      from: Math.min(...times),
      to: Math.max(...times),
    });
    this.#credit(samples.reduce((sum, sample) => sum + readingsOf(sample), 0));
  }

  async #begin(): Promise<void> {
    try {
      const silo = await this.#open(this.#identity.load());
      if (this.#isStopped) return await silo.stop('the gateway stops');
      this.#stage = { at: 'running', silo };
      const { tenant, gateway } = silo.origin;
      this.#logger.info('silo runs', { tenant, gateway });
    } catch (error) {
      const isTooEarly =
        error instanceof MerestoneError && error.code === 'IdentityOutOfTime' && error.retryable;
      if (isTooEarly) this.#wait(describeError(error));
      else this.#refuse(describeError(error));
    }
    this.#postStatus();
  }

  /** Waits for whoever still holds the spool: what comes in meanwhile waits at the door. */
  async #open(identity: LoadedIdentity): Promise<RunningSilo> {
    const untilMs = this.#clock.monotonicMs() + heldPatienceMs;
    for (;;) {
      try {
        return await RunningSilo.open({
          birth: this.#birth,
          identity,
          clock: this.#clock,
          time: this.#time,
          logger: this.#logger,
          losses: this.#losses,
          book: this.#book,
          settled: (readings) => this.#credit(readings),
        });
      } catch (error) {
        const isHeld = error instanceof MerestoneError && error.code === 'SpoolHeld';
        if (!isHeld || this.#isStopped || this.#clock.monotonicMs() >= untilMs) throw error;
        await sleep(this.#clock, heldRetryMs);
      }
    }
  }

  /** It may be told to stop while it opens. */
  get #isStopped(): boolean {
    return this.#stage.at === 'stopped';
  }

  /** Samples wait undated in the gateway, which bounds them, for as long as the status says 'starting'. */
  #wait(reason: string): void {
    if (this.#isStopped) return;
    const isKnown = this.#stage.at === 'waiting';
    this.#stage = { at: 'waiting', reason };
    if (isKnown) return;
    this.#logger.error('silo waits: nothing is stored, nothing is sent, samples wait undated', { reason });
    this.#note('refused-certificate', { reason, fingerprintSha256: null });
  }

  #refuse(reason: string): void {
    if (this.#isStopped) return;
    const known = this.#stage.at === 'refused' && this.#stage.reason === reason;
    this.#stage = { at: 'refused', reason };
    if (known) return;
    this.#logger.error('silo refuses to run: nothing is stored, nothing is sent', { reason });
    this.#note('refused-certificate', { reason, fingerprintSha256: null });
  }

  #observe(usage: SiloUsage): void {
    this.#usage = usage;
    if (this.#stage.at === 'running') this.#stage.silo.observe(usage);
  }

  #record(act: AuditAct): void {
    this.#settleRefusals();
    if (act.kind === 'configuration') return this.#note(act.kind, act.details);
    if (act.kind === 'device-identity') return this.#note(act.kind, act.details);
    if (this.#refusals.admit(act.details, this.#clock.monotonicMs())) this.#note(act.kind, act.details);
  }

  #settleRefusals(isLast = false): void {
    const refusals = this.#refusals.settle(this.#clock.monotonicMs(), isLast);
    if (refusals !== undefined) this.#note('refused-request', refusals);
  }

  /** Into the log of the tenant, or of the silo where no identity says whose it is. */
  #note<Kind extends AuditKind>(kind: Kind, details: AuditDetails[Kind]): void {
    if (this.#stage.at === 'running') return this.#stage.silo.journal.record(kind, details);
    const dependencies = { clock: this.#clock, logger: this.#logger };
    Journal.noteUnidentified(this.#birth.options.spool.directory, dependencies, kind, details);
  }

  #scheduleTick(): void {
    this.#clock.after(tickMs, () => {
      if (this.#isStopped) return;
      this.#scheduleTick();
      this.#tryToTick();
    });
  }

  /** Whatever goes wrong in one second, the next one comes. */
  #tryToTick(): void {
    try {
      this.#tick();
      this.#ticking.clear();
    } catch (error) {
      this.#ticking.fail(describeError(error));
    }
  }

  #tick(): void {
    this.#ticks += 1;
    const heard = (error: unknown): void => {
      this.#ticking.fail(describeError(error));
    };
    if (this.#ticks % identityCheckTicks === 0) inBackground(this.#checkIdentity(), heard);
    this.#settleRefusals();
    if (this.#stage.at === 'running') {
      this.#stage.silo.tick();
      if (this.#lossPace.isDue(this.#losses.hasOpen)) this.#stage.silo.reportLosses();
      if (this.#ticks % journalSignTicks === 0) inBackground(this.#stage.silo.signJournal(), heard);
    }
    this.#postStatus();
  }

  /** One look at a time: a second one would find the spool held by the first, and refuse what runs. */
  #checkIdentity(): Promise<void> {
    this.#checking ??= this.#lookAtIdentity().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  /**
   * Takes up a renewed certificate. One that names somebody else ends this silo's work at once; one that is
   * damaged or out of time is refused, and the silo goes on as whom it has been proved to be.
   */
  async #lookAtIdentity(): Promise<void> {
    if (this.#stage.at === 'refused' || this.#stage.at === 'waiting') return this.#begin();
    if (this.#stage.at !== 'running') return;
    const { silo } = this.#stage;
    try {
      const loaded = this.#identity.loadChanged();
      this.#renewalFault = null;
      if (loaded === undefined) return;
      silo.renew(loaded);
      this.#logger.info('certificate renewed', { fingerprintSha256: loaded.identity.fingerprintSha256 });
    } catch (error) {
      const reason = describeError(error);
      if (error instanceof ForeignIdentity) {
        await silo.stop('the certificate files name somebody else');
        this.#refuse(reason);
      } else if (reason !== this.#renewalFault) {
        this.#renewalFault = reason;
        silo.journal.record('refused-certificate', { reason, fingerprintSha256: null });
        this.#logger.warn('certificate files not taken up', { reason });
      }
    }
  }

  async #answer(request: Extract<ToSilo, { type: 'request' }>): Promise<void> {
    const { id } = request;
    if (request.method === 'reload') {
      await this.#checkIdentity();
      return this.#channel.post({ type: 'reply', id, batches: 0, fault: null });
    }
    try {
      this.#channel.post({ type: 'reply', id, batches: this.#retry(request.by), fault: null });
    } catch (error) {
      this.#channel.post({ type: 'reply', id, batches: 0, fault: describeError(error) });
    }
  }

  /** How many batches go once more. Throws where no spool is open, or its disk takes nothing. */
  #retry(by: string): number {
    if (this.#stage.at === 'running') return this.#stage.silo.retryQuarantined(by);
    const reason = 'reason' in this.#stage ? `: ${this.#stage.reason}` : '';
    throw new Error(`it has no spool open${reason}`);
  }

  async #stop(): Promise<void> {
    this.#settleRefusals(true);
    const stage = this.#stage;
    this.#stage = { at: 'stopped' };
    await this.#checking;
    if (stage.at === 'running') await stage.silo.stop('the gateway stops');
    this.#postStatus();
    this.#channel.post({ type: 'stopped' });
    this.#channel.close();
  }

  #credit(readings: number): void {
    this.#channel.post({ type: 'credit', readings });
  }

  #postStatus(): void {
    this.#channel.post({ type: 'status', status: this.#status() });
  }

  #status(): SiloStatus {
    const running = this.#stage.at === 'running' ? this.#stage.silo : undefined;
    const figures = running?.status();
    return {
      name: this.#birth.options.name,
      state: this.#stage.at === 'waiting' ? 'starting' : this.#stage.at,
      reason: 'reason' in this.#stage ? this.#stage.reason : this.#renewalFault,
      forMs: 0, // the gateway counts it
      tenant: running?.origin.tenant ?? null,
      gateway: running?.origin.gateway ?? null,
      identity: figures?.identity ?? null,
      uplink: figures?.uplink ?? null,
      spool: figures?.spool ?? null,
      batches: figures?.batches ?? { lingerMs: this.#birth.options.batch.lingerMs, unacceptedMs: null },
      clock: figures?.clock ?? 'unknown',
      samples: {
        received: this.#received,
        stored: figures?.samples.stored ?? 0,
        published: figures?.samples.published ?? 0,
        dropped: { ...this.#losses.totals },
      },
      dropping: [], // the gateway sees it
      restarts: 0,
      isolation: this.#birth.options.isolation.kind,
      usage: this.#usage,
      quotas: this.#book.status(),
    };
  }
}
