import type { CheckpointOptions } from '../../options.ts';

/** Bytes of MQTT packets that were sent since the process began. */
export interface SentBytes {
  telemetry: number;
  checkpoint: number;
}

/** Shortest interval between two checkpoints. */
const intervalMinMs = 60_000;
/** Most batches between two signatures that a consumer must chain; one checkpoint is small beside them. */
const batchesMax = 500;

/** Decides when a head is signed: in proportion to what was sent, and at the latest after a fixed time. */
export class CheckpointSchedule {
  readonly #options: CheckpointOptions;
  #signedAtMs = -Infinity;
  #signedSeq = 0;
  #sentBefore: SentBytes = { telemetry: 0, checkpoint: 0 };

  constructor(options: CheckpointOptions) {
    this.#options = options;
  }

  isDue(nowMs: number, seq: number, sent: SentBytes): boolean {
    const elapsedMs = nowMs - this.#signedAtMs;
    if (elapsedMs >= this.#options.everyMs || seq - this.#signedSeq >= batchesMax) return true;
    return elapsedMs >= intervalMinMs && this.#isInProportion(sent);
  }

  /** Call before the checkpoint is sent: its bytes then count against the batches that follow. */
  signed(nowMs: number, seq: number, sent: SentBytes): void {
    this.#signedAtMs = nowMs;
    this.#signedSeq = seq;
    this.#sentBefore = { ...sent };
  }

  #isInProportion(sent: SentBytes): boolean {
    const telemetry = sent.telemetry - this.#sentBefore.telemetry;
    return sent.checkpoint - this.#sentBefore.checkpoint <= telemetry * this.#options.shareMax;
  }
}
