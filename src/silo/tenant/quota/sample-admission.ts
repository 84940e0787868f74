import type { LossReason } from '../../../reading/loss.ts';
import type { Sample } from '../../../reading/sample.ts';
import { TokenBucket } from '../../../base/token-bucket.ts';

/** `quota`: more samples a second than agreed. `cpu-quota`: the isolate takes more of the CPU than agreed. */
export type RefusalReason = Extract<LossReason, 'quota' | 'cpu-quota'>;

export interface Sorted {
  admitted: readonly Sample[];
  refused: { reason: RefusalReason; samples: readonly Sample[] }[];
}

/** Decides which samples a silo's quotas admit. Pure but for its counts. */
export class Admission {
  readonly #rate: TokenBucket | undefined;
  /** Each device's fraction of its next admitted sample, 0 to 1; the configuration bounds the devices. */
  readonly #savings = new Map<string, number>();

  constructor(samplesPerSecond: number | undefined, nowMs: number) {
    if (samplesPerSecond === undefined) return;
    // The burst is one second's worth.
    this.#rate = new TokenBucket({ perSecond: samplesPerSecond, burst: samplesPerSecond }, nowMs);
  }

  /** `share`: how many of each device's samples may pass, 0 to 1. */
  sort(samples: readonly Sample[], share: number, nowMs: number): Sorted {
    const thinned = this.#thin(samples, share);
    const passing = this.#rate?.takeUpTo(thinned.admitted.length, nowMs) ?? thinned.admitted.length;
    const refused = [
      { reason: 'cpu-quota' as const, samples: thinned.refused },
      { reason: 'quota' as const, samples: thinned.admitted.slice(passing) },
    ];
    return {
      admitted: thinned.admitted.slice(0, passing),
      refused: refused.filter((each) => each.samples.length > 0),
    };
  }

  /** Drops samples evenly per device: a flood from one device must not silence the others. */
  #thin(samples: readonly Sample[], share: number): { admitted: readonly Sample[]; refused: Sample[] } {
    if (share >= 1) {
      this.#savings.clear();
      return { admitted: samples, refused: [] };
    }
    const admitted: Sample[] = [];
    const refused: Sample[] = [];
    for (const sample of samples) {
      const savings = (this.#savings.get(sample.device) ?? 1 - share) + share;
      const passes = savings >= 1;
      this.#savings.set(sample.device, passes ? savings - 1 : savings);
      (passes ? admitted : refused).push(sample);
    }
    return { admitted, refused };
  }
}
