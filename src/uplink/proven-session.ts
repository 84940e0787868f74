import { inBackground } from '../base/background.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import { type OwnedOrigin, topicOf } from '../messages/topic.ts';
import { Canary, type Urgency, type Proof } from './canary.ts';
import { packetBytes } from './mqtt-message.ts';
import { packetTooLarge } from './reason-code.ts';
import type { Answer, Message, Session } from './session.ts';
import { deniedFault, type Parties, sizeFault } from './session-fault.ts';
import type { SizeLimit } from './size-limit.ts';
import type { SessionEnd } from './mqtt-connection.ts';

/** What became of a message, proof included. */
export type Delivered =
  | Answer
  /** Over what the broker takes. `wasSent`: it found out by this one. */
  | { kind: 'too-large'; bytesMax: number; wasSent?: true };

export interface ProvenSessionDependencies {
  origin: OwnedOrigin;
  parties: Parties;
  clock: Clock;
  sizes: SizeLimit;
  /** Something about how large a message may be was learned or forgotten. */
  onSizeLimit: () => void;
}

/** Half of a size that is too large is tried, and half of that, as long as it is worth it. */
const smallestTried = 256;
/** How often it is asked whether it is time to try a size again. */
const retryCheckMs = 10_000;

/**
 * A session whose answers can be believed. On MQTT 5 they can as they are; on MQTT 3.1.1 a canary of a message's size
 * comes back before the message goes, and another one, which left after its acknowledgement, before it is answered.
 */
export class ProvenSession {
  readonly session: Session;
  readonly #dependencies: ProvenSessionDependencies;
  /** MQTT 3.1.1 only: MQTT 5 says by reason code what it refuses. */
  readonly #canary: Canary | undefined;
  #cancelRetry: Cancel | undefined;

  constructor(session: Session, dependencies: ProvenSessionDependencies) {
    const { origin, parties, clock, sizes } = dependencies;
    this.session = session;
    this.#dependencies = dependencies;
    if (parties.protocol === '3.1.1') {
      const topic = topicOf(origin, 'canary');
      const onLost = (fault: MerestoneError): void => session.abort(fault);
      this.#canary = new Canary(session, topic, clock, onLost, parties.hasWorked);
    }
    sizes.begin(session.packetBytesMax);
    dependencies.onSizeLimit();
    this.#watchSize();
  }

  /** True when it is proven that our root can be written, as far as that can be known before. */
  begin(): Promise<boolean> {
    return this.#canary === undefined ? Promise.resolve(true) : this.#canary.begin();
  }

  /** `acknowledged` is called once the broker has said that it has it, for what that is worth. Never rejects. */
  async deliver(message: Message, urgency: Urgency, acknowledged: () => void = () => {}): Promise<Delivered> {
    const { sizes } = this.#dependencies;
    const canary = this.#canary;
    const bytes = packetBytes(message);
    if (bytes > sizes.bytesMax) return this.#tooLarge(false);
    if (canary !== undefined && bytes > canary.provenBytes) {
      const proof = this.#note(bytes, await canary.prove(bytes, 'now'));
      if (proof !== 'passed') return proof === 'lost' ? { kind: 'unanswered' } : this.#tooLarge(false);
    }
    const answer = await this.session.publish(message);
    if (answer.kind === 'unanswered') return answer;
    if (answer.reasonCode === packetTooLarge) {
      this.#note(bytes, 'too-large');
      return this.#tooLarge(true);
    }
    acknowledged();
    const proof = this.#note(bytes, canary === undefined ? 'passed' : await canary.prove(bytes, urgency));
    if (proof === 'passed') return answer;
    return proof === 'lost' ? { kind: 'unanswered' } : this.#tooLarge(true);
  }

  /** Proofs that wait for company wait no longer, and none will from now on. */
  proveNow(): void {
    this.#canary?.proveNow();
  }

  /** The broker does not take a message of this size, as far as can be told. */
  tooLarge(bytes: number): void {
    this.#note(bytes, 'too-large');
  }

  /** The session is over: what that says about sizes is learned. Why it ended, in the words that fit. */
  end({ fault, closedByPeer, reasonCode }: SessionEnd, wasProving: boolean): MerestoneError {
    const { sizes, clock, origin, parties, onSizeLimit } = this.#dependencies;
    const canary = this.#canary;
    const suspectBytes = canary?.suspectBytes;
    const isProven = (canary?.provenBytes ?? 0) > 0;
    const unanswered = this.session.largestUnanswered;
    this.#cancelRetry?.();
    canary?.close();
    // MQTT 5 says by DISCONNECT what was too large; others just hang up on it.
    if (reasonCode === packetTooLarge && unanswered > 0) sizes.failed(unanswered, clock.monotonicMs());
    if (canary === undefined || !closedByPeer) {
      onSizeLimit();
      return fault;
    }
    if (suspectBytes !== undefined && isProven) {
      sizes.hungUp(suspectBytes, clock.monotonicMs());
      onSizeLimit();
      return sizeFault(fault, suspectBytes, parties);
    }
    // MQTT 5 would have said so in its PUBACK.
    return wasProving ? deniedFault(fault, origin, parties) : fault;
  }

  #tooLarge(wasSent: boolean): Delivered {
    const { bytesMax } = this.#dependencies.sizes;
    return { kind: 'too-large', bytesMax, ...(wasSent && { wasSent }) };
  }

  /** Learns about sizes by what became of one; gives what it was given. */
  #note(bytes: number, proof: Proof): Proof {
    const { sizes, clock, onSizeLimit } = this.#dependencies;
    const { bytesMax, batchBytesMax } = sizes;
    if (proof === 'passed') sizes.passed(bytes);
    if (proof === 'too-large') {
      sizes.failed(bytes, clock.monotonicMs());
      this.#inBackground(this.#findSmaller(bytes));
    }
    if (sizes.bytesMax !== bytesMax || sizes.batchBytesMax !== batchBytesMax) onSizeLimit();
    return proof;
  }

  /** What does pass, by halves: so that the next batches do, too. */
  async #findSmaller(bytes: number): Promise<void> {
    const half = bytes >> 1;
    if (this.#canary === undefined || half < smallestTried || half <= this.#canary.provenBytes) return;
    this.#note(half, await this.#canary.prove(half, 'now'));
  }

  #inBackground(work: Promise<void>): void {
    inBackground(work, (error) => {
      this.session.abort(
        new MerestoneError('UplinkClosed', describeError(error), { retryable: true, cause: error }),
      );
    });
  }

  #watchSize(): void {
    this.#cancelRetry = this.#dependencies.clock.after(retryCheckMs, () => {
      this.#inBackground(this.#retrySize());
      this.#watchSize();
    });
  }

  /** What did not pass is tried again from time to time: a limit may have been raised. */
  async #retrySize(): Promise<void> {
    const { sizes, clock, origin } = this.#dependencies;
    const bytes = sizes.dueRetry(clock.monotonicMs());
    if (bytes === undefined) return;
    const topic = topicOf(origin, 'canary');
    const payload = Buffer.alloc(Math.max(0, bytes - topic.length), ' ');
    const proof =
      this.#canary === undefined
        ? proofOf(await this.session.publish({ topic, payload, retain: false }))
        : await this.#canary.prove(bytes, 'now');
    // Where the session ended over it, it is tried again much later.
    if (proof === 'lost') sizes.hungUp(bytes, clock.monotonicMs());
    else this.#note(bytes, proof);
  }
}

function proofOf(answer: Answer): Proof {
  if (answer.kind === 'unanswered') return 'lost';
  return answer.reasonCode === packetTooLarge ? 'too-large' : 'passed';
}
