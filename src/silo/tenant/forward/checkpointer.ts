import type { Clock } from '../../../base/clock.ts';
import type { Signer } from '../../../identity/signer.ts';
import type { Spool } from '../../../spool/spool.ts';
import type { Sender } from './metered-uplink.ts';

/** A head is signed when this many batches or this much time lie between it and the last one signed. */
const checkpointBatches = 500;
const checkpointMs = 60_000;

export interface CheckpointerDependencies {
  clock: Clock;
  /** Whose head is signed. */
  spool: Pick<Spool, 'checkpointDue' | 'saveCheckpoint' | 'lastCheckpoint'>;
  uplink: Sender;
  signer: () => Signer;
  /** Whether the broker keeps the newest for whoever comes later. */
  retain: boolean;
}

/** Signs the head of a chain from time to time and keeps the newest signature retained at the broker. */
export class Checkpointer {
  readonly #dependencies: CheckpointerDependencies;
  #signedAtMs = -Infinity;
  #signedSeq = 0;

  constructor(dependencies: CheckpointerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Signs where it is time to; `force` signs whatever is unsigned (on stop, on rotation). */
  async check(force = false): Promise<void> {
    const { clock, spool, signer } = this.#dependencies;
    const claims = spool.checkpointDue();
    if (claims === undefined) return;
    const nowMs = clock.monotonicMs();
    const due = nowMs - this.#signedAtMs >= checkpointMs || claims.seq - this.#signedSeq >= checkpointBatches;
    if (!due && !force) return;
    this.#signedAtMs = nowMs;
    this.#signedSeq = claims.seq;
    const jws = await signer().sign(claims);
    spool.saveCheckpoint(jws, claims.seq);
    await this.publish();
  }

  /** The broker's copy is retained, so that one publish at the start of each session is enough. */
  async publish(): Promise<void> {
    const { spool, uplink, retain } = this.#dependencies;
    const jws = spool.lastCheckpoint();
    if (jws === undefined || !uplink.ready) return;
    const payload = Buffer.from(jws);
    await uplink.publish({ channel: 'checkpoint', payload, retain, contentType: 'application/jose' });
  }
}
