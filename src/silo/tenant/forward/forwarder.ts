import type { Cancel, Clock } from '../../../base/clock.ts';
import { inBackground } from '../../../base/background.ts';
import { describeError } from '../../../base/error.ts';
import { FaultState } from '../../../base/fault-state.ts';
import type { Logger } from '../../../base/logger.ts';
import type { BatchRef, LeasedBatch, Reach, Spool } from '../../../spool/spool.ts';
import type { Encoder } from '../../../uplink/encoders/encoder.ts';
import type { UplinkOptions } from '../../../uplink/options.ts';
import { TokenBucket } from '../../../base/token-bucket.ts';
import type { PublishOutcome, PublishRequest } from '../../../uplink/uplink.ts';
import { afterAnswer, openWindow, type PublishWindow, windowSize } from '../../../uplink/publish-window.ts';
import { setAsideMax, Delivery, type DeliveryResult } from './delivery.ts';
import type { Sender } from './metered-uplink.ts';
import { Oversize } from './oversize.ts';

export interface ForwarderDependencies {
  clock: Clock;
  logger: Logger;
  spool: Pick<Spool, 'beginLive' | 'lease' | 'settle' | 'status'>;
  uplink: Sender;
  encoder: Pick<Encoder, 'telemetry' | 'messagesPerBatchMax' | 'packetBytes'>;
  options: UplinkOptions;
  /** Which batches the quotas allow to be sent now. */
  reach(): Reach | 'none';
  /** The broker has accepted this number of samples. */
  delivered(samples: number): void;
  /** The first batch waits because of the broker's size limit, or the last one no longer does. */
  oversize?(state: 'reached' | 'cleared', bytesMax: number): void;
}

/** Outcomes are settled together: one commit for all within this time. */
const settleDelayMs = 20;

/** Retry interval while the disk fails; nothing more is leased meanwhile. */
const settleRetryMs = 1000;

/** Interval of the check whether a quota still blocks batches. */
const reachCheckMs = 1000;

/** Bytes acknowledged but not yet proven (MQTT 3.1.1), at which nothing more is sent. */
const unprovenBytesMax = 8_000_000;

/** If more batches than this are too large, the backlog is not read further: it would be read for nothing. */
const oversizeMax = 20_000;

/** Why a batch stays in the spool, and when to ask again. */
interface Hold {
  by: 'reach' | 'rate';
  waitMs: number;
}

/** Moves batches from the spool to the broker, several in flight, and settles the broker's answer to each. */
export class Forwarder {
  readonly #dependencies: ForwarderDependencies;
  readonly #delivery = new Delivery();
  readonly #inflight = new Set<string>();
  /** Refused batches that are tried again later, after others. At most `setAsideMax`. */
  readonly #aside = new Map<string, LeasedBatch>();
  /** Bytes of batches that are acknowledged and not in flight, but not yet proven. */
  readonly #unproven = new Map<string, number>();
  readonly #oversize: Oversize;
  /** Payload bytes of the largest accepted batch. */
  #acceptedBytesMax = 0;
  #settlements = noSettlements();
  /** Grows and shrinks with the round trip; each session starts with a new window. */
  #window: PublishWindow = openWindow(1, 0);
  /** Batches up to here, stored before the session began, are backlog; later ones are live. */
  #backlogEnd: BatchRef = { epoch: '', seq: 0 };
  #backlogRate: TokenBucket | undefined;
  #ready = false;
  readonly #settling: FaultState;
  #cancelSettle: Cancel | undefined;
  #cancelPump: Cancel | undefined;

  constructor(dependencies: ForwarderDependencies) {
    this.#dependencies = dependencies;
    this.#settling = new FaultState('settling what was sent', dependencies);
    const { clock, logger } = dependencies;
    this.#oversize = new Oversize({
      clock,
      logger,
      release: (refs) => this.#putBack(refs),
      reject: (refs, reason) => this.#giveUp(refs, reason),
      report: (state, bytesMax) => dependencies.oversize?.(state, bytesMax),
    });
    const { backlogBytesPerSecond } = dependencies.options;
    if (backlogBytesPerSecond !== undefined) {
      // After a pause, one second's worth may go at once.
      const limits = { perSecond: backlogBytesPerSecond, burst: backlogBytesPerSecond };
      this.#backlogRate = new TokenBucket(limits, clock.monotonicMs());
    }
  }

  sessionReady(inflightMax: number): void {
    this.#ready = true;
    this.#oversize.sessionReady();
    const { epoch, seq } = this.#dependencies.spool.status();
    this.#backlogEnd = { epoch, seq };
    this.#dependencies.spool.beginLive();
    this.#window = openWindow(inflightMax, this.#dependencies.clock.monotonicMs());
    this.pump();
  }

  sessionLost(): void {
    if (this.#ready && this.#inflight.size + this.#unproven.size > 0) this.#delivery.sessionLost();
    this.#ready = false;
    this.#oversize.sessionLost();
  }

  /** Batches that wait because they are larger than the broker takes. */
  get oversize(): number {
    return this.#oversize.count;
  }

  /** Sets the broker's limit in bytes of a whole packet: waiting batches that fit are requeued. */
  limitSize(bytesMax: number): void {
    this.#oversize.limit(bytesMax);
  }

  /** Fills the window with due batches. */
  pump(): void {
    this.#cancelPump?.();
    this.#cancelPump = undefined;
    if (!this.#ready) return;
    const { clock, spool, options } = this.#dependencies;
    const nowMs = clock.monotonicMs();
    const waitMs = this.#delivery.pausedUntilMs - nowMs;
    const reach = this.#reach();
    if (waitMs > 0 || reach === 'none') {
      this.#pumpIn(waitMs > 0 ? waitMs : reachCheckMs);
      return;
    }
    const free = this.#free();
    if (free <= 0) return;
    const due = this.#takeDue(nowMs, free);
    for (const batch of due) this.#publish(batch);
    const fresh = free > due.length ? spool.lease(free - due.length, options.order, reach) : [];
    const { blocked, hold } = this.#sendInReach(fresh, reach, nowMs);
    if (hold !== undefined) {
      spool.settle({ released: blocked.map(({ key }) => ({ epoch: key.epoch, seq: key.seq })) });
      this.#pumpIn(hold.waitMs);
    } else if (reach === 'live' || (fresh.length === 0 && this.#aside.size > 0)) {
      this.#pumpIn(reachCheckMs);
    }
  }

  #reach(): Reach | 'none' {
    const reach = this.#dependencies.reach();
    return reach === 'all' && this.#oversize.count >= oversizeMax ? 'live' : reach;
  }

  #free(): number {
    const unprovenBytes = [...this.#unproven.values()].reduce((sum, bytes) => sum + bytes, 0);
    if (unprovenBytes >= unprovenBytesMax) return 0;
    const busy = this.#inflight.size + (this.#delivery.isProbing ? this.#unproven.size : 0);
    // The window counts messages.
    const batches = Math.max(
      1,
      Math.floor(windowSize(this.#window) / this.#dependencies.encoder.messagesPerBatchMax),
    );
    return this.#delivery.window(batches) - busy;
  }

  #pumpIn(ms: number): void {
    this.#cancelPump = this.#dependencies.clock.after(ms, () => this.pump());
  }

  /** Settles answered batches; unanswered ones stay in the spool. */
  close(): void {
    this.#ready = false;
    this.#cancelPump?.();
    this.#oversize.close();
    this.#releaseAside();
    this.#settle();
  }

  /**
   * Sends in order; returns the batches that must stay, and why. Once the quotas' answer changes, all remaining
   * batches stay and are leased again; once the backlog reaches its rate, its rest stays, and under fifo all batches.
   */
  #sendInReach(
    batches: readonly LeasedBatch[],
    reach: Reach,
    nowMs: number,
  ): { blocked: LeasedBatch[]; hold: Hold | undefined } {
    let hold: Hold | undefined;
    const blocked = batches.filter((batch) => {
      const itsHold = this.#holdOf(batch, reach, nowMs, hold);
      if (itsHold === undefined) this.#publish(batch);
      else hold = itsHold;
      return itsHold !== undefined;
    });
    return { blocked, hold };
  }

  /** Why this batch must stay, if `before` holds an earlier one. A batch that may go is charged to the rate. */
  #holdOf(batch: LeasedBatch, reach: Reach, nowMs: number, before: Hold | undefined): Hold | undefined {
    if (before?.by === 'reach') return before;
    if (this.#reach() !== reach) return { by: 'reach', waitMs: 0 };
    const { epoch, seq } = batch.key;
    const isBacklog = batch.durable && (epoch !== this.#backlogEnd.epoch || seq <= this.#backlogEnd.seq);
    if (before !== undefined && (isBacklog || this.#dependencies.options.order === 'fifo')) return before;
    if (!isBacklog || this.#backlogRate === undefined) return undefined;
    const waitMs = this.#backlogRate.waitMs(nowMs);
    if (waitMs > 0) return { by: 'rate', waitMs };
    this.#backlogRate.spend(batch.compressed.length, nowMs);
    return undefined;
  }

  #takeDue(nowMs: number, count: number): LeasedBatch[] {
    const due = [...this.#aside].filter(([id]) => this.#delivery.retryAtMs(id) <= nowMs).slice(0, count);
    for (const [id] of due) this.#aside.delete(id);
    return due.map(([, batch]) => batch);
  }

  #publish(batch: LeasedBatch): void {
    const { clock, uplink, encoder } = this.#dependencies;
    const id = identify(batch.key);
    const requests = encoder.telemetry(batch);
    this.#inflight.add(id);
    const sentAtMs = clock.monotonicMs();
    const inflight = this.#inflight.size;
    const answered = (): void => {
      this.#inflight.delete(id);
      this.#window = afterAnswer(this.#window, { sentAtMs, answeredAtMs: clock.monotonicMs(), inflight });
    };
    let unanswered = requests.length;
    const acknowledged = (): void => {
      unanswered -= 1;
      if (unanswered > 0) return;
      answered();
      this.#unproven.set(id, bytesOf(requests));
      this.pump();
    };
    const outcomes = requests.map((request) => uplink.publish(request, acknowledged));
    const concluded = Promise.all(outcomes).then((each) => {
      const [request, outcome] = decisive(requests, each);
      const isMeasured = outcome.kind !== 'unsettled' && outcome.kind !== 'too-large';
      if (isMeasured && this.#inflight.has(id)) answered();
      this.#inflight.delete(id);
      this.#unproven.delete(id);
      this.#conclude(id, batch, request, outcome);
    });
    inBackground(concluded, (error) => this.#settling.fail(describeError(error)));
  }

  #conclude(id: string, batch: LeasedBatch, request: PublishRequest, outcome: PublishOutcome): void {
    const { epoch, seq } = batch.key;
    const ref: BatchRef = { epoch, seq };
    const result = this.#decide(id, request, outcome);
    switch (result) {
      case 'ack':
        this.#settlements.acked.push(ref);
        this.#acceptedBytesMax = Math.max(this.#acceptedBytesMax, request.payload.length);
        this.#dependencies.delivered(batch.samples);
        break;
      case 'reject':
        this.#settlements.rejected.push({ ...ref, reason: describeOutcome(outcome) });
        break;
      case 'release':
        this.#settlements.released.push(ref);
        break;
      case 'hold':
        this.#hold(id, ref, request);
        break;
      case 'aside':
        this.#aside.set(id, batch);
        if (this.#aside.size > setAsideMax) this.#releaseAside();
        break;
    }
    this.#settleSoon();
  }

  /** `hold`: it exceeds the broker's size limit, and waits until that changes. */
  #decide(id: string, request: PublishRequest, outcome: PublishOutcome): DeliveryResult | 'hold' {
    if (outcome.kind === 'too-large') return 'hold';
    const nowMs = this.#dependencies.clock.monotonicMs();
    // The peer hung up with only this batch in flight.
    const alone = outcome.kind === 'unsettled' && outcome.outstanding === 1 && outcome.closedByPeer;
    const result = this.#delivery.decide(id, outcome.kind, nowMs, alone);
    const isLargest = request.payload.length > this.#acceptedBytesMax;
    if (result !== 'reject' || outcome.kind !== 'unsettled' || !isLargest) return result;
    // Smaller batches are accepted and this one ends the session: it exceeds a limit of the broker.
    this.#dependencies.uplink.tooLarge(request);
    return 'hold';
  }

  #hold(id: string, ref: BatchRef, request: PublishRequest): void {
    this.#oversize.hold(id, ref, this.#dependencies.encoder.packetBytes(request));
  }

  #putBack(refs: readonly BatchRef[]): void {
    this.#settlements.released.push(...refs);
    this.#settleSoon();
  }

  #giveUp(refs: readonly BatchRef[], reason: string): void {
    const nowMs = this.#dependencies.clock.monotonicMs();
    for (const ref of refs) {
      const result = this.#delivery.decide(identify(ref), 'impossible', nowMs, false);
      if (result === 'reject') this.#settlements.rejected.push({ ...ref, reason });
    }
    this.#settleSoon();
  }

  #settleSoon(): void {
    this.#cancelSettle ??= this.#dependencies.clock.after(settleDelayMs, () => this.#settle());
  }

  /** Too many batches are refused at once, so the broker is at fault: all are requeued. */
  #releaseAside(): void {
    for (const { key } of this.#aside.values())
      this.#settlements.released.push({ epoch: key.epoch, seq: key.seq });
    this.#aside.clear();
    this.#delivery.forgive();
  }

  #settle(): void {
    this.#cancelSettle?.();
    this.#cancelSettle = undefined;
    const { clock, spool } = this.#dependencies;
    try {
      spool.settle(this.#settlements);
    } catch (error) {
      this.#settling.fail(describeError(error));
      this.#cancelSettle = clock.after(settleRetryMs, () => this.#settle());
      return;
    }
    this.#settling.clear();
    this.#settlements = noSettlements();
    this.pump();
  }
}

type Requests = readonly [PublishRequest, ...PublishRequest[]];

function bytesOf(requests: Requests): number {
  return requests.reduce((sum, { payload }) => sum + payload.length, 0);
}

/** The messages of one batch are settled together, by the worst outcome and the largest message that has it. */
const byGravity: readonly PublishOutcome['kind'][] = [
  'too-large',
  'refused',
  'unsettled',
  'no-subscribers',
  'accepted',
];

function decisive(requests: Requests, outcomes: readonly PublishOutcome[]): [PublishRequest, PublishOutcome] {
  const pairs = requests.map((request, index): [PublishRequest, PublishOutcome] => [
    request,
    outcomes[index]!,
  ]);
  const gravity = ([, { kind }]: [PublishRequest, PublishOutcome]): number => byGravity.indexOf(kind);
  return pairs.reduce((worst, pair) => {
    const difference = gravity(pair) - gravity(worst);
    if (difference !== 0) return difference < 0 ? pair : worst;
    return pair[0].payload.length > worst[0].payload.length ? pair : worst;
  });
}

interface OpenSettlements {
  acked: BatchRef[];
  rejected: (BatchRef & { reason: string })[];
  released: BatchRef[];
}

function noSettlements(): OpenSettlements {
  return { acked: [], rejected: [], released: [] };
}

function identify(key: { epoch: string; seq: number }): string {
  return `${key.epoch}/${key.seq}`;
}

function describeOutcome(outcome: PublishOutcome): string {
  switch (outcome.kind) {
    case 'refused':
      return `the broker refused it again and again: ${outcome.reason}`;
    case 'accepted':
    case 'too-large':
    case 'no-subscribers':
    case 'unsettled':
      return 'it ended the session again and again';
  }
}
