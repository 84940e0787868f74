import type { GivenUp } from './memory-batches.ts';

/** Undated samples that no disk took, as `Spool.hold` has them; the oldest give way. */
export class MemoryUndated {
  readonly #bytesMax: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#chunks.length;
  }

  /** What was given up for it. */
  add(payload: Buffer): GivenUp[] {
    this.#chunks.push(payload);
    this.#bytes += payload.length;
    const givenUp: GivenUp[] = [];
    while (this.#bytes > this.#bytesMax) givenUp.push(describe(this.take()!));
    return givenUp;
  }

  /** The oldest, which is not here any more. */
  take(): Buffer | undefined {
    const oldest = this.#chunks.shift();
    this.#bytes -= oldest?.length ?? 0;
    return oldest;
  }

  giveUp(): GivenUp[] {
    const givenUp = this.#chunks.map(describe);
    this.#chunks = [];
    this.#bytes = 0;
    return givenUp;
  }
}

/** A chunk is a list of samples with the times that their clock had. */
function describe(payload: Buffer): GivenUp {
  const entries = JSON.parse(payload.toString()) as { sample: { wallMs: number } }[];
  const times = entries.map(({ sample }) => sample.wallMs);
  return { samples: entries.length, from: Math.min(...times), to: Math.max(...times) };
}
