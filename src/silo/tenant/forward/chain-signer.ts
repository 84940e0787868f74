import type { FailoverSpool } from '../../../spool/failover/failover-spool.ts';
import type { Channel } from '../../../messages/topic.ts';
import { Checkpointer, type CheckpointerDependencies } from './checkpointer.ts';

export interface ChainSignerDependencies
  extends Pick<CheckpointerDependencies, 'clock' | 'uplink' | 'encoder' | 'bearer' | 'options'> {
  spool: FailoverSpool;
}

/** Signs both chains of a silo: that of the spool, and that of batches kept in memory while the disk fails. */
export class ChainSigner {
  readonly #sent = { telemetry: 0, checkpoint: 0 };
  readonly #checkpointers: readonly Checkpointer[];

  constructor({ spool, ...dependencies }: ChainSignerDependencies) {
    const common = { ...dependencies, sent: this.#sent };
    this.#checkpointers = [
      new Checkpointer({ ...common, spool, retain: true }),
      // Not retained: it would replace the spool's checkpoint, which outlives this process.
      new Checkpointer({ ...common, spool: spool.memory, retain: false }),
    ];
  }

  /** Counts the bytes of a sent MQTT packet; negative if it was not sent after all. */
  sent(bytes: number, channel: Channel): void {
    if (channel === 'telemetry' || channel === 'checkpoint') this.#sent[channel] += bytes;
  }

  /** Signs what is due; `force` signs what is unsigned (on stop, on rotation). */
  async check(force = false): Promise<void> {
    for (const each of this.#checkpointers) await each.check(force);
  }

  async publish(): Promise<void> {
    await Promise.all(this.#checkpointers.map((each) => each.publish()));
  }
}
