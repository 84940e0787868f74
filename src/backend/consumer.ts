import type { Clock } from '../base/clock.ts';
import { describeError, type MerestoneError } from '../base/error.ts';
import { inTurns, type Breathe } from '../base/steps.ts';
import { decodeMetaSteps, decodeStatus } from '../messages/decoding.ts';
import { parseTopic, type Channel, type Origin } from '../messages/topic.ts';
import type { Arrival } from './arrival.ts';
import { BatchIntake } from './batch-intake.ts';
import type { EvidenceLog } from './evidence.ts';
import { Findings } from './findings.ts';
import type { Notice } from './notice.ts';
import { faultOf } from './message-fault.ts';
import type { RowSink } from './row-sink.ts';
import type { VouchFor } from './signature.ts';
import type { FoldedEpoch, StateStore } from './state-store.ts';
import { StatementIntake } from './statement-intake.ts';
import { StreamWatch } from './stream-watch.ts';
import { UnitWatch } from './unit-watch.ts';

export interface ConsumerParts {
  clock: Clock;
  store: StateStore;
  sink: RowSink;
  /** Undefined: signatures are not looked at. */
  vouchFor: VouchFor | undefined;
  evidence: EvidenceLog | undefined;
  /** Whether refused messages are kept in the state. */
  keepRefused: boolean;
  /** A gap that lasts this long is named. */
  gapGraceMs: number;
  notify(notice: Notice): void;
}

export interface ConsumerCounts {
  messages: number;
  batches: number;
  samples: number;
  rows: number;
  duplicates: number;
  refused: number;
  checkpoints: number;
  security: number;
  /** Messages let go, as their tenant sent faster than its turns came. */
  overrun: number;
}

/**
 * The backend's side of the stream. Each message is checked, its rows are written once, and what it says about
 * other batches is compared with what came. The command `consume` calls it, through deliveries.ts.
 *
 * Invariants
 *  1. A message is acknowledged only after its rows, its evidence and the state are written, or it is set aside.
 *  2. `(tenant, gateway, epoch, seq)` drops duplicates: a batch makes rows once, however often it comes.
 *  3. Tenant and gateway come from the topic, which the broker holds to the certificate; a payload that names
 *     others is refused.
 *  4. No message ends the consumer or harms another gateway's stream. Its faults are findings against its own
 *     gateway; only rows, evidence or state that cannot be written are faults of ours.
 */
export class Consumer {
  readonly #parts: ConsumerParts;
  readonly #findings: Findings;
  readonly #watch: StreamWatch;
  readonly #units: UnitWatch;
  readonly #batches: BatchIntake;
  readonly #statements: StatementIntake;
  readonly #counts = { messages: 0, refused: 0, overrun: 0 };

  constructor(parts: ConsumerParts) {
    const { clock, store, evidence, gapGraceMs } = parts;
    this.#parts = parts;
    this.#findings = new Findings(clock, evidence, (notice) => parts.notify(notice));
    this.#watch = new StreamWatch(clock, gapGraceMs);
    this.#units = new UnitWatch(clock);
    const watching = { findings: this.#findings, watch: this.#watch, units: this.#units };
    this.#batches = new BatchIntake({ ...parts, ...watching });
    this.#statements = new StatementIntake({ ...parts, findings: this.#findings });
    store.listen({
      onReleased: (key, ledger) => this.#findAll(this.#watch.leave(key, ledger)),
      onFolded: (epoch) => this.#findings.find(folded(epoch)),
    });
  }

  get counts(): ConsumerCounts {
    const { checkpoints } = this.#statements;
    return { ...this.#counts, ...this.#batches.counts, checkpoints, security: this.#findings.security };
  }

  /**
   * Resolves when the message is safe and may be acknowledged, with true where it was refused. Throws only where rows, state or evidence
   * cannot be written; every other fault of a message is a finding against its gateway, and the message is
   * kept aside. A large message is taken in slices: `breathe` says when another gateway's may go in between.
   */
  async take(arrival: Arrival, breathe: Breathe = () => undefined): Promise<boolean> {
    this.#counts.messages++;
    const place = parseTopic(arrival.topic);
    if (place === undefined) return false;
    const { channel, ...origin } = place;
    try {
      await this.#takeFrom(channel, origin, arrival, breathe);
      return false;
    } catch (error) {
      this.#refuse(channel, origin, arrival, faultOf(error));
      return true;
    }
  }

  /** Too much of what a gateway sends is refused: its messages wait longer from now on. */
  noteSlowed(origin: Origin): void {
    const message =
      'too much of what it sends is refused: from now on its messages wait longer for their turns';
    this.#findings.announce({ severity: 'warning', kind: 'slowed', message, origin });
  }

  /** A message was let go, as its tenant sent faster than its turns came, and had no room to wait. */
  takeOverrun(origin: Origin, { topic, payload }: Arrival): void {
    this.#counts.overrun++;
    const message = 'sent faster than its turns come, and has no room to wait: a message was let go';
    const details = { topic, bytes: payload.length };
    this.#findings.find({ severity: 'security', kind: 'overrun', message, origin, details });
  }

  /** To be called every second or so: names duplicates in bulk and gaps that last. */
  tick(): void {
    this.#findAll(this.#watch.check(this.#parts.store.cachedStreams()));
    this.#findings.tick();
  }

  /** To be called every second or so: names gateways whose rows have no units. */
  lookForUnits(): void {
    for (const notice of this.#units.check()) this.#findings.notify(notice);
  }

  /** Says what was only counted so far. */
  end(): void {
    this.tick();
    this.#findings.end();
  }

  async #takeFrom(channel: Channel, origin: Origin, arrival: Arrival, breathe: Breathe): Promise<void> {
    if (channel === 'telemetry') return this.#batches.take(origin, arrival, breathe);
    // A retained message that was cleared arrives empty.
    if (arrival.payload.length === 0) return;
    switch (channel) {
      case 'checkpoint':
        return this.#statements.takeCheckpoint(origin, arrival);
      case 'event':
        return this.#statements.takeEvent(origin, arrival);
      case 'meta':
        return this.#takeMeta(origin, arrival, breathe);
      case 'status':
        return this.#takeStatus(origin, arrival);
      case 'canary':
        return;
    }
  }

  #refuse(channel: Channel, origin: Origin, arrival: Arrival, error: MerestoneError): void {
    const { store, clock, keepRefused } = this.#parts;
    const { topic, payload } = arrival;
    this.#counts.refused++;
    // What it changed before it failed was never written.
    if (error.code === 'Internal') store.revert(origin);
    const reason = describeError(error);
    const kept = keepRefused && store.parked.keepRefused(origin, arrival, clock.wallMs(), reason);
    if (channel === 'checkpoint' || channel === 'event') {
      const outcome = `refused: ${error.message}` as const;
      this.#findings.keep(origin, { channel, message: payload.toString(), outcome });
    }
    this.#findings.find({
      severity: error.code === 'StreamInvalid' ? 'warning' : 'security',
      kind: `${channel}-refused`,
      message: kept ? reason : `${reason}; not kept`,
      origin,
      details: { topic, code: error.code, bytes: payload.length, kept },
    });
  }

  async #takeMeta(origin: Origin, { payload }: Arrival, breathe: Breathe): Promise<void> {
    const { store } = this.#parts;
    const meta = await inTurns(decodeMetaSteps(origin, payload), breathe);
    store.gateway(origin).takeMeta(meta);
    store.commit({ meta: origin });
    const late = this.#units.describe(origin);
    if (late !== undefined) this.#findings.notify(late);
  }

  #takeStatus(origin: Origin, { payload }: Arrival): void {
    const { store } = this.#parts;
    const status = decodeStatus(origin, payload);
    if (!store.gateway(origin).takeStatus(status)) return;
    store.commit({ gateway: origin });
    const { online, version } = status;
    const message = online ? `the gateway is online (version ${version})` : 'the gateway is offline';
    this.#findings.notify({ severity: 'info', kind: online ? 'online' : 'offline', message, origin });
  }

  #findAll(notices: readonly Notice[]): void {
    for (const notice of notices) this.#findings.find(notice);
  }
}

function folded({ tenant, gateway, epoch, received, missing }: FoldedEpoch): Notice {
  const message = `too many epochs: of the oldest is only known that ${received} batches came and ${missing} did not`;
  const origin = { tenant, gateway };
  const details = { received, missing };
  return { severity: 'warning', kind: 'epoch-folded', message, origin, epoch, details };
}
