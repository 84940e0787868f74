import { formatDuration } from '../../base/quantity.ts';

/** A device that is measuring, as it said that it would. */
export interface Measuring {
  announcedMs: number;
  sinceMs: number;
}

/** Dialogues with the line to itself before it is tried again whether the measurement bears others. */
const aloneFirst = 10;
const aloneMax = 640;

/**
 * Whether the line is free for others while a device measures. It is, unless the device loses its measurement by
 * that: SDI-12's concurrent ones (aC!) bear it, while its ordinary ones (aM!) end with the break that an adapter
 * makes before it addresses another sensor. No sensor says which adapter it is behind, so it is found out, and tried
 * again ever more rarely.
 */
export class MeasurementSharing {
  #aloneLeft = 0;
  #aloneNext = aloneFirst;

  /** Whether the device needs the line to itself. */
  get isAlone(): boolean {
    return this.#aloneLeft > 0;
  }

  /** It had values although others had the line, or there were none. */
  bore(others: boolean): void {
    if (this.#aloneLeft > 0) this.#aloneLeft -= 1;
    else if (others) this.#aloneNext = aloneFirst;
  }

  /** It answered without values. Where it had the line to itself, that is not why. */
  lost(others: boolean): void {
    if (!others) {
      this.#aloneLeft = 0;
      return;
    }
    this.#aloneLeft = this.#aloneNext;
    this.#aloneNext = Math.min(aloneMax, 2 * this.#aloneNext);
  }
}

export function tooLong(announcedMs: number, measureMaxMs: number): string {
  return `it announces a measurement of ${inSeconds(announcedMs)}, and the limit is ${inSeconds(measureMaxMs)}; set the sensor to measure faster, or raise 'measureMax' of the device if it needs so long`;
}

export const lostToOthers =
  "its measurement ended without values while others had the line; its next ones have the line to themselves. For a sensor that knows concurrent measurements, set 'settings: { measure: C }'";

export function describeMeasuring({ announcedMs, sinceMs }: Measuring, nowMs: number): string {
  return `it is measuring, as announced for ${inSeconds(announcedMs)}, since ${inSeconds(nowMs - sinceMs)}; wait until that is over`;
}

/** As sensors say it: 999 s, not 16.7 min. */
function inSeconds(ms: number): string {
  return ms < 10_000_000 ? `${Math.round(ms / 1000)} s` : formatDuration(ms);
}
