import type { Cancel, Clock } from '../base/clock.ts';
import { describeError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import type { Signer } from '../identity/signer.ts';
import type { Spool } from '../spool/spool.ts';
import type { EventProof, StreamEvent } from '../stream/event.ts';
import { endIfDamaged } from './damage.ts';
import type { Sender } from './metered-uplink.ts';

/** Events in flight at most: they are rare, and each is small. */
const eventsInFlightMax = 20;
const retryMs = 5000;

export interface EventForwarderDependencies {
  clock: Clock;
  logger: Logger;
  spool: Spool;
  uplink: Sender;
  /** With its signature, a backend may believe the chain values of an event. */
  signer: () => Signer;
  /** The broker has it, and the spool is about to let it go. */
  delivered(event: StreamEvent): void;
}

/** Moves durable events from the spool to the `event` topic, in order. */
export class EventForwarder {
  readonly #dependencies: EventForwarderDependencies;
  #busy = false;
  #cancelRetry: Cancel | undefined;

  constructor(dependencies: EventForwarderDependencies) {
    this.#dependencies = dependencies;
  }

  pump(): void {
    if (this.#busy || !this.#dependencies.uplink.ready) return;
    this.#cancelRetry?.();
    this.#busy = true;
    void this.#forward()
      .catch((error: unknown) => {
        endIfDamaged(error);
        this.#dependencies.logger.error('events are kept back', { reason: describeError(error) });
        return false;
      })
      .then((progress) => {
        this.#busy = false;
        if (progress) this.pump();
        else this.#cancelRetry = this.#dependencies.clock.after(retryMs, () => this.pump());
      });
  }

  close(): void {
    this.#cancelRetry?.();
    this.#busy = true;
  }

  /** True where something was delivered, so that more may follow at once. */
  async #forward(): Promise<boolean> {
    const { spool, uplink } = this.#dependencies;
    const events = spool.leaseEvents(eventsInFlightMax);
    const outcomes = await Promise.all(
      events.map(async (event) => {
        const payload = await this.#prove(event.payload);
        return uplink.publish({ channel: 'event', payload, contentType: 'application/json' });
      }),
    );
    const ids = (accepted: boolean): string[] =>
      events.filter((_, index) => (outcomes[index]?.kind === 'accepted') === accepted).map(({ id }) => id);
    spool.releaseEvents(ids(false));
    const delivered = ids(true);
    for (const { id, payload } of events) {
      if (delivered.includes(id)) this.#dependencies.delivered(JSON.parse(payload.toString()) as StreamEvent);
    }
    if (delivered.length > 0) spool.settleEvents(delivered);
    return delivered.length > 0;
  }

  async #prove(payload: Buffer): Promise<Buffer> {
    const { clock, signer } = this.#dependencies;
    const event = JSON.parse(payload.toString()) as StreamEvent;
    const claims: EventProof = { ...event, signedAt: Math.round(clock.wallMs()) };
    return Buffer.from(JSON.stringify({ ...event, proof: await signer().sign(claims) }));
  }
}
