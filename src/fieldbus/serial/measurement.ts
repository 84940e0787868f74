import { formatDuration } from '../../base/quantity.ts';

/** A device that is measuring, as it announced. */
export interface Measuring {
  announcedMs: number;
  sinceMs: number;
}

/** Dialogues with exclusive use of the line before the next try to share it during a measurement. */
const aloneFirst = 10;
const aloneMax = 640;

/**
 * Whether the line is free for others while a device measures. It is, unless the device loses its measurement then:
 * SDI-12's concurrent measurements (aC!) continue, while ordinary ones (aM!) end with the break that an adapter sends
 * before it addresses another sensor. A sensor can't tell which adapter it is behind, so this is found by trying, and
 * tried again ever more rarely.
 */
export class MeasurementSharing {
  #aloneLeft = 0;
  #aloneNext = aloneFirst;

  /** Whether the device needs the line to itself. */
  get isAlone(): boolean {
    return this.#aloneLeft > 0;
  }

  /** It had values although others used the line, or there were no others. */
  bore(others: boolean): void {
    if (this.#aloneLeft > 0) this.#aloneLeft -= 1;
    else if (others) this.#aloneNext = aloneFirst;
  }

  /** It answered without values. If it had the line to itself, sharing is not the cause. */
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

/** As sensors announce it: 999 s, not 16.7 min. */
function inSeconds(ms: number): string {
  return ms < 10_000_000 ? `${Math.round(ms / 1000)} s` : formatDuration(ms);
}
