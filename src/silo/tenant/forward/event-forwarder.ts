import type { Cancel, Clock } from '../../../base/clock.ts';
import { inBackground } from '../../../base/background.ts';
import { describeError, MerestoneError } from '../../../base/error.ts';
import { FaultState } from '../../../base/fault-state.ts';
import type { Logger } from '../../../base/logger.ts';
import type { LeasedEvent, Spool } from '../../../spool/spool.ts';
import type { Encoder } from '../../../uplink/encoders/encoder.ts';
import type { PublishOutcome } from '../../../uplink/uplink.ts';
import type { EventProof, StreamEvent } from '../../../messages/event.ts';
import type { BorneIdentity } from '../current-identity.ts';
import type { Sender } from './metered-uplink.ts';

/** Events in flight at most: they are rare, and each is small. */
const eventsInFlightMax = 20;
const retryMs = 5000;
/** More of them than this, and all wait: it is a broker that takes no event at all. */
const oversizeMax = 1000;

export interface EventForwarderDependencies {
  clock: Clock;
  logger: Logger;
  spool: Pick<Spool, 'leaseEvents' | 'releaseEvents' | 'settleEvents'>;
  uplink: Sender;
  encoder: Pick<Encoder, 'event'>;
  /** With its signature, a backend may believe the chain values of an event. */
  bearer: Pick<BorneIdentity, 'signing'>;
  /** The broker has it, and the spool is about to let it go. */
  delivered(event: StreamEvent): void;
}

/** Moves durable events from the spool to the `event` topic, in order. */
export class EventForwarder {
  readonly #dependencies: EventForwarderDependencies;
  readonly #state: FaultState;
  /** Larger than the broker takes: they stay leased, out of the way of the others, until it takes more. */
  readonly #oversize = new Set<string>();
  #busy = false;
  #isClosed = false;
  #cancelRetry: Cancel | undefined;

  constructor(dependencies: EventForwarderDependencies) {
    this.#dependencies = dependencies;
    this.#state = new FaultState('sending events', dependencies);
  }

  /** What the broker takes has changed: what was too large is tried again. */
  limitSize(): void {
    if (this.#oversize.size === 0) return;
    this.#dependencies.spool.releaseEvents([...this.#oversize]);
    this.#oversize.clear();
    this.pump();
  }

  pump(): void {
    if (this.#busy || this.#isClosed || !this.#dependencies.uplink.ready) return;
    this.#cancelRetry?.();
    this.#busy = true;
    const forwarded = this.#forward().then((progress) => {
      this.#state.clear();
      this.#next(progress);
    });
    inBackground(forwarded, (error) => {
      this.#state.fail(describeError(error));
      this.#next(false);
    });
  }

  #next(progress: boolean): void {
    if (this.#isClosed) return;
    this.#busy = false;
    if (progress) this.pump();
    else this.#cancelRetry = this.#dependencies.clock.after(retryMs, () => this.pump());
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelRetry?.();
  }

  /** True where something was delivered, so that more may follow at once. */
  async #forward(): Promise<boolean> {
    const events = this.#dependencies.spool.leaseEvents(eventsInFlightMax);
    const delivered: string[] = [];
    let tooLarge: string[] = [];
    try {
      // All are signed before one goes: the one that is signed first is not always the first.
      const proven = await Promise.all(events.map(({ payload }) => this.#prove(payload)));
      const outcomes = await Promise.all(proven.map((payload) => this.#send(payload)));
      const idsOf = (kind: PublishOutcome['kind']): string[] =>
        events.filter((_, index) => outcomes[index] === kind).map(({ id }) => id);
      delivered.push(...idsOf('accepted'));
      tooLarge = idsOf('too-large').slice(0, oversizeMax - this.#oversize.size);
      for (const id of tooLarge) this.#oversize.add(id);
    } finally {
      this.#settle(events, delivered);
    }
    return delivered.length > 0 || tooLarge.length > 0;
  }

  async #send(payload: Buffer): Promise<PublishOutcome['kind']> {
    const { uplink, encoder } = this.#dependencies;
    return (await uplink.publish(encoder.event(payload))).kind;
  }

  #settle(events: readonly LeasedEvent[], delivered: readonly string[]): void {
    const { spool } = this.#dependencies;
    const isHeld = (id: string): boolean => delivered.includes(id) || this.#oversize.has(id);
    spool.releaseEvents(events.map(({ id }) => id).filter((id) => !isHeld(id)));
    const noted: string[] = [];
    try {
      for (const { id, payload } of events.filter((event) => delivered.includes(event.id))) {
        this.#dependencies.delivered(JSON.parse(payload.toString()) as StreamEvent);
        noted.push(id);
      }
    } finally {
      if (noted.length > 0) spool.settleEvents(noted);
      // Sent once more; a backend knows it by its id.
      spool.releaseEvents(delivered.filter((id) => !noted.includes(id)));
    }
  }

  async #prove(payload: Buffer): Promise<Buffer> {
    const signing = this.#dependencies.bearer.signing();
    if (signing === undefined) throw new MerestoneError('IdentityOutOfTime', 'the certificate has ended');
    const event = JSON.parse(payload.toString()) as StreamEvent;
    const claims: EventProof = { ...event, signedAt: signing.at };
    return Buffer.from(JSON.stringify({ ...event, proof: await signing.sign(claims) }));
  }
}
