import type { Clock } from '../../../base/clock.ts';
import type { Spool } from '../../../spool/spool.ts';
import type { Encoder } from '../../../uplink/encoders/encoder.ts';
import type { CurrentIdentity } from '../current-identity.ts';
import type { CheckpointOptions } from '../../options.ts';
import { CheckpointSchedule, type SentBytes } from './checkpoint-schedule.ts';
import type { Sender } from './metered-uplink.ts';

export interface CheckpointerDependencies {
  clock: Clock;
  /** The spool whose head is signed. */
  spool: Pick<Spool, 'checkpointDue' | 'saveCheckpoint' | 'lastCheckpoint'>;
  uplink: Sender;
  encoder: Pick<Encoder, 'checkpoint'>;
  /** Gives the signer and the time of the signature. */
  bearer: Pick<CurrentIdentity, 'signing'>;
  options: CheckpointOptions;
  sent: Readonly<SentBytes>;
  /** Whether the broker keeps the newest checkpoint for later subscribers. */
  retain: boolean;
}

/** Signs the head of a chain from time to time and keeps the newest signature retained at the broker. */
export class Checkpointer {
  readonly #dependencies: CheckpointerDependencies;
  readonly #schedule: CheckpointSchedule;

  constructor(dependencies: CheckpointerDependencies) {
    this.#dependencies = dependencies;
    this.#schedule = new CheckpointSchedule(dependencies.options);
  }

  /**
   * Signs the head if a signature is due; `force` signs any unsigned head (on stop, on rotation). Without a signer
   * the head waits: the next signature covers it.
   */
  async check(force = false): Promise<void> {
    const { clock, spool, bearer, sent } = this.#dependencies;
    const signing = bearer.signing();
    const claims = spool.checkpointDue();
    if (claims === undefined || signing === undefined) return;
    const nowMs = clock.monotonicMs();
    if (!force && !this.#schedule.isDue(nowMs, claims.seq, sent)) return;
    this.#schedule.signed(nowMs, claims.seq, sent);
    const jws = await signing.sign({ ...claims, at: signing.at });
    spool.saveCheckpoint(jws, claims.seq);
    await this.publish();
  }

  /** Publishes the newest checkpoint; the broker retains it, so once a session is enough. */
  async publish(): Promise<void> {
    const { spool, uplink, encoder, retain } = this.#dependencies;
    const jws = spool.lastCheckpoint();
    if (jws === undefined || !uplink.ready) return;
    await uplink.publish(encoder.checkpoint(jws, retain));
  }
}
