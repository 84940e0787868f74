import type { Cancel, Clock } from '../../../base/clock.ts';
import { inBackground } from '../../../base/background.ts';
import { describeError, MerestoneError } from '../../../base/error.ts';
import { FaultState } from '../../../base/fault-state.ts';
import type { Logger } from '../../../base/logger.ts';
import type { LeasedEvent, Spool } from '../../../spool/spool.ts';
import type { Encoder } from '../../../uplink/encoders/encoder.ts';
import type { PublishOutcome } from '../../../uplink/uplink.ts';
import type { EventProof, StreamEvent } from '../../../messages/event.ts';
import type { CurrentIdentity } from '../current-identity.ts';
import type { Sender } from './metered-uplink.ts';

/** Events in flight at most: they are rare, and each is small. */
const eventsInFlightMax = 20;
const retryMs = 5000;
/** If more events than this are too large, all wait: the broker accepts no event at all. */
const oversizeMax = 1000;

export interface EventForwarderDependencies {
  clock: Clock;
  logger: Logger;
  spool: Pick<Spool, 'leaseEvents' | 'releaseEvents' | 'settleEvents'>;
  uplink: Sender;
  encoder: Pick<Encoder, 'event'>;
  /** Signs the chain values of an event, so that a backend can trust them. */
  bearer: Pick<CurrentIdentity, 'signing'>;
  /** Called before the spool deletes an event that the broker has accepted. */
  delivered(event: StreamEvent): void;
}

/** Moves durable events from the spool to the `event` topic, in order. */
export class EventForwarder {
  readonly #dependencies: EventForwarderDependencies;
  readonly #state: FaultState;
  /** Events above the broker's size limit: they stay leased until it rises, so that others pass them. */
  readonly #oversize = new Set<string>();
  #busy = false;
  #isClosed = false;
  #cancelRetry: Cancel | undefined;

  constructor(dependencies: EventForwarderDependencies) {
    this.#dependencies = dependencies;
    this.#state = new FaultState('sending events', dependencies);
  }

  /** The broker's size limit has changed: events that were too large are tried again. */
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

  /** True if an event was delivered, so that more may follow at once. */
  async #forward(): Promise<boolean> {
    const events = this.#dependencies.spool.leaseEvents(eventsInFlightMax);
    const delivered: string[] = [];
    let tooLarge: string[] = [];
    try {
      // Signatures finish in any order: sign all before the first event is sent, to keep their order.
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
      // These are sent again; a backend removes duplicates by id.
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
