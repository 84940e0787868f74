import type { Cancel, Clock } from '../base/clock.ts';
import type { Sample } from '../reading/sample.ts';

export interface SampleBuffer {
  put(silo: string, sample: Sample): void;
  flush(): void;
}

/** Samples that come within one turn of the event loop leave together. */
export function createSampleBuffer(
  clock: Clock,
  deliver: (silo: string, samples: Sample[]) => void,
): SampleBuffer {
  const waiting = new Map<string, Sample[]>();
  let cancel: Cancel | null = null;
  const flush = (): void => {
    cancel?.();
    cancel = null;
    const leaving = [...waiting];
    waiting.clear();
    for (const [silo, samples] of leaving) deliver(silo, samples);
  };
  return {
    put: (silo, sample) => {
      const samples = waiting.get(silo);
      if (samples) samples.push(sample);
      else waiting.set(silo, [sample]);
      cancel ??= clock.after(0, flush);
    },
    flush,
  };
}
