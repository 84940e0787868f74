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
import { LossCount } from '../loss-count.ts';
import type { AuditAct, StartMessage, SiloChannel, SiloDevices, ToSilo } from '../protocol.ts';
import { limitsOf, QuotaEdges } from './quota/quota-edges.ts';
import { RefusalLimit } from './refusal-limit.ts';
import { ReportThrottle } from './report-throttle.ts';
import { TenantSession } from './tenant-session.ts';
import type { TimeSources } from './ingest/timekeeper.ts';

/** How often the clock, the counters and the status in the gateway are updated. */
const tickMs = 1000;
/** How often the certificate files are checked: a renewal takes effect within this, without a restart. */
const identityCheckTicks = 10;
/** How often the audit log is signed if it has grown. */
const journalSignTicks = 60;

/** A silo's process whose gateway was killed needs up to 5 s to store its samples and stop. */
const lockedTimeoutMs = 8000;
const lockedRetryMs = 100;

type State =
  | { at: 'starting' }
  /** For a certificate that is not valid yet: the clock may be behind, so samples wait and are not lost. */
  | { at: 'waiting'; reason: string }
  | { at: 'refused'; reason: string }
  | { at: 'running'; silo: TenantSession }
  | { at: 'stopped' };

/**
 * One tenant's isolate, and the handler of all messages from the gateway. Without a verified identity it stores and
 * sends nothing; with one, a TenantSession does all the work under that identity.
 */
export class Silo {
  #startMessage: StartMessage;
  readonly #channel: SiloChannel;
  readonly #clock: Clock;
  readonly #time: TimeSources;
  readonly #identity: IdentityFiles;
  readonly #logger: Logger;
  readonly #losses = new LossCount();
  readonly #lossThrottle = new ReportThrottle();
  readonly #edges: QuotaEdges;
  readonly #refusals = new RefusalLimit();
  readonly #ticking: FaultState;
  #usage: SiloUsage | null = null;
  #state: State = { at: 'starting' };
  /** Why the present certificate files were refused as a renewal. */
  #renewalFault: string | null = null;
  #received = 0;
  #ticks = 0;
  #checking: Promise<void> | undefined;

  constructor(startMessage: StartMessage, channel: SiloChannel, clock: Clock, time: TimeSources) {
    // The message crossed a port, and the copy is not frozen.
    this.#startMessage = deepFreeze(startMessage);
    this.#channel = channel;
    this.#clock = clock;
    this.#time = time;
    this.#identity = new IdentityFiles(startMessage.options, clock, time);
    this.#edges = new QuotaEdges(limitsOf(startMessage.options));
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
        this.#edges.limit(message.quota, message.limit);
        return this.#edges.stand(message.quota, message.state === 'reached');
      case 'record':
        return this.#record(message.act);
      case 'stop':
        return this.#stop();
    }
  }

  #describe({ devices, configSha256 }: SiloDevices): void {
    this.#startMessage = deepFreeze({ ...this.#startMessage, devices, configSha256 });
    if (this.#state.at === 'running') this.#state.silo.describe({ devices, configSha256 });
  }

  #admit(samples: Sample[]): void {
    this.#received += samples.length;
    if (this.#state.at === 'running') return this.#state.silo.admit(samples);
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
      this.#state = { at: 'running', silo };
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

  /** Opens the session; waits while another process still holds the spool. Later messages wait meanwhile. */
  async #open(identity: LoadedIdentity): Promise<TenantSession> {
    const untilMs = this.#clock.monotonicMs() + lockedTimeoutMs;
    for (;;) {
      try {
        return await TenantSession.open({
          startMessage: this.#startMessage,
          identity,
          clock: this.#clock,
          time: this.#time,
          logger: this.#logger,
          losses: this.#losses,
          edges: this.#edges,
          settled: (readings) => this.#credit(readings),
        });
      } catch (error) {
        const isHeld = error instanceof MerestoneError && error.code === 'SpoolHeld';
        if (!isHeld || this.#isStopped || this.#clock.monotonicMs() >= untilMs) throw error;
        await sleep(this.#clock, lockedRetryMs);
      }
    }
  }

  /** A stop may arrive while the session opens. */
  get #isStopped(): boolean {
    return this.#state.at === 'stopped';
  }

  /** Reports `starting`, for as long as which the gateway keeps the samples, within its bound. */
  #wait(reason: string): void {
    if (this.#isStopped) return;
    const isKnown = this.#state.at === 'waiting';
    this.#state = { at: 'waiting', reason };
    if (isKnown) return;
    this.#logger.error('silo waits: nothing is stored, nothing is sent, samples wait undated', { reason });
    this.#note('refused-certificate', { reason, fingerprintSha256: null });
  }

  #refuse(reason: string): void {
    if (this.#isStopped) return;
    const known = this.#state.at === 'refused' && this.#state.reason === reason;
    this.#state = { at: 'refused', reason };
    if (known) return;
    this.#logger.error('silo refuses to run: nothing is stored, nothing is sent', { reason });
    this.#note('refused-certificate', { reason, fingerprintSha256: null });
  }

  #observe(usage: SiloUsage): void {
    this.#usage = usage;
    if (this.#state.at === 'running') this.#state.silo.observe(usage);
  }

  #record(act: AuditAct): void {
    this.#settleRefusedRequests();
    if (act.kind === 'configuration') return this.#note(act.kind, act.details);
    if (act.kind === 'device-identity') return this.#note(act.kind, act.details);
    if (this.#refusals.admit(act.details, this.#clock.monotonicMs())) this.#note(act.kind, act.details);
  }

  #settleRefusedRequests(isLast = false): void {
    const refusals = this.#refusals.settle(this.#clock.monotonicMs(), isLast);
    if (refusals !== undefined) this.#note('refused-request', refusals);
  }

  /** Notes an entry in the tenant's audit log, or in the silo's own if there is no identity. */
  #note<Kind extends AuditKind>(kind: Kind, details: AuditDetails[Kind]): void {
    if (this.#state.at === 'running') return this.#state.silo.journal.record(kind, details);
    const dependencies = { clock: this.#clock, logger: this.#logger };
    Journal.noteUnidentified(this.#startMessage.options.spool.directory, dependencies, kind, details);
  }

  #scheduleTick(): void {
    this.#clock.after(tickMs, () => {
      if (this.#isStopped) return;
      this.#scheduleTick();
      this.#tryToTick();
    });
  }

  /** A failed tick does not prevent the next one. */
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
    this.#settleRefusedRequests();
    if (this.#state.at === 'running') {
      this.#state.silo.tick();
      if (this.#lossThrottle.isDue(this.#losses.hasOpen)) this.#state.silo.reportLosses();
      if (this.#ticks % journalSignTicks === 0) inBackground(this.#state.silo.signJournal(), heard);
    }
    this.#postStatus();
  }

  /** One check at a time: a second check would find the spool locked by the first, and refuse the running silo. */
  #checkIdentity(): Promise<void> {
    this.#checking ??= this.#pollIdentity().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  /**
   * Applies a renewed certificate. A certificate of another tenant or gateway ends this silo's work at once; a damaged
   * or expired one is refused, and the silo goes on with its proved identity.
   */
  async #pollIdentity(): Promise<void> {
    if (this.#state.at === 'refused' || this.#state.at === 'waiting') return this.#begin();
    if (this.#state.at !== 'running') return;
    const { silo } = this.#state;
    try {
      const loaded = this.#identity.loadChanged();
      this.#renewalFault = null;
      if (loaded === undefined) return;
      silo.renew(loaded);
      this.#logger.info('certificate renewed', { fingerprintSha256: loaded.identity.fingerprintSha256 });
    } catch (error) {
      const reason = describeError(error);
      if (error instanceof ForeignIdentity) {
        await silo.stop('the certificate files name another tenant or gateway');
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

  /** Requeues quarantined batches; returns how many. Throws if no spool is open or its disk fails. */
  #retry(by: string): number {
    if (this.#state.at === 'running') return this.#state.silo.retryQuarantined(by);
    const reason = 'reason' in this.#state ? `: ${this.#state.reason}` : '';
    throw new Error(`it has no spool open${reason}`);
  }

  async #stop(): Promise<void> {
    this.#settleRefusedRequests(true);
    const state = this.#state;
    this.#state = { at: 'stopped' };
    await this.#checking;
    if (state.at === 'running') await state.silo.stop('the gateway stops');
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
    const running = this.#state.at === 'running' ? this.#state.silo : undefined;
    const figures = running?.status();
    return {
      name: this.#startMessage.options.name,
      state: this.#state.at === 'waiting' ? 'starting' : this.#state.at,
      reason: 'reason' in this.#state ? this.#state.reason : this.#renewalFault,
      forMs: 0, // the gateway counts it
      tenant: running?.origin.tenant ?? null,
      gateway: running?.origin.gateway ?? null,
      identity: figures?.identity ?? null,
      uplink: figures?.uplink ?? null,
      spool: figures?.spool ?? null,
      batches: figures?.batches ?? {
        lingerMs: this.#startMessage.options.batch.lingerMs,
        unacceptedMs: null,
      },
      clock: figures?.clock ?? 'unknown',
      samples: {
        received: this.#received,
        stored: figures?.samples.stored ?? 0,
        published: figures?.samples.published ?? 0,
        dropped: { ...this.#losses.totals },
      },
      dropping: [], // the gateway sees it
      restarts: 0,
      isolation: this.#startMessage.options.isolation.kind,
      usage: this.#usage,
      quotas: this.#edges.status(),
    };
  }
}
