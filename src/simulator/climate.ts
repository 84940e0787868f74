import type { Clock } from '../base/clock.ts';
import { drift } from './drift.ts';
import { RegisterImage, type ModbusUnit } from './register-image.ts';

type WallClock = Pick<Clock, 'wallMs'>;

/**
 * A boiler. Holding registers 40 and 41: flow and return temperature, int16, 0.1 °C. Input register 10: burner
 * modulation in percent, uint16. Discrete input 0: burner on.
 */
export class Boiler implements ModbusUnit {
  readonly #image = new RegisterImage();
  readonly #clock: WallClock;

  constructor(clock: WallClock) {
    this.#clock = clock;
    this.#image.define('holding', 40, 2);
    this.#image.define('input', 10, 1);
    this.#image.define('discrete', 0, 1);
  }

  answer(request: Uint8Array): Buffer {
    const wallMs = this.#clock.wallMs();
    const demand = drift(wallMs, 40_000, 3);
    const modulation = Math.max(0, Math.round(45 + 60 * demand));
    const flow = 62 + 9 * drift(wallMs - 4000, 40_000, 3);
    this.#image.setInt16('holding', 40, Math.round(flow * 10));
    this.#image.setInt16('holding', 41, Math.round((flow - 11 - 3 * demand) * 10));
    this.#image.setInt16('input', 10, modulation);
    this.#image.setBit('discrete', 0, modulation > 0);
    return this.#image.answer(request);
  }
}

/** A cold room's sensor. Input registers 1 and 2: temperature (int16, 0.1 °C) and relative humidity (uint16, 0.1 %). */
export class ColdRoom implements ModbusUnit {
  readonly #image = new RegisterImage();
  readonly #clock: WallClock;

  constructor(clock: WallClock) {
    this.#clock = clock;
    this.#image.define('input', 1, 2);
  }

  answer(request: Uint8Array): Buffer {
    const wallMs = this.#clock.wallMs();
    this.#image.setInt16('input', 1, Math.round(10 * (-18.4 + 1.6 * drift(wallMs, 35_000, 7))));
    this.#image.setInt16('input', 2, Math.round(10 * (71 + 6 * drift(wallMs, 50_000, 9))));
    return this.#image.answer(request);
  }
}
