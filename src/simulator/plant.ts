import { startModbusTcpDevice, type ModbusTcpDevice } from './modbus-tcp-device.ts';
import { RegisterImage, type ModbusUnit } from './register-image.ts';

/**
 * The room `simulator`: simulated meters, sensors, buses, a broker and a certificate authority, for the demo and the
 * tests. They speak the real protocols over real sockets and pseudo-terminals, and import no driver of the gateway, so
 * that a fault in one can't hide in the other. A curve is a pure function of time (`drift.ts`), so a simulation keeps
 * no state. This file is the load test's plant: many Modbus TCP units at little cost.
 */

/** What one request may read at most (Modbus V1.1b3 §6.3). */
const registersPerUnit = 125;

/** A measured value moves by this much at most from one request to the next. */
const stepMax = 2;

/**
 * Holding register 0 counts the requests (modulo 65536): a lost or doubled sample shows. The others are
 * random walks, as measured values are, so that they compress as on a real site.
 */
class WalkingUnit implements ModbusUnit {
  readonly #image = new RegisterImage();
  readonly #registers = Buffer.alloc(registersPerUnit * 2);
  #requests = 0;

  constructor() {
    this.#image.define('holding', 0, registersPerUnit);
    for (let index = 1; index < registersPerUnit; index += 1) {
      this.#registers.writeUInt16BE(Math.floor(Math.random() * 5000) + 100, index * 2);
    }
  }

  answer(request: Uint8Array): Buffer {
    this.#requests = (this.#requests + 1) & 0xffff;
    this.#registers.writeUInt16BE(this.#requests, 0);
    for (let index = 1; index < registersPerUnit; index += 1) {
      const step = Math.floor(Math.random() * (2 * stepMax + 1)) - stepMax;
      this.#registers.writeUInt16BE((this.#registers.readUInt16BE(index * 2) + step) & 0xffff, index * 2);
    }
    this.#image.setRegisters('holding', 0, this.#registers);
    return this.#image.answer(request);
  }
}

/** For load tests: units 1 to `unitCount` on one Modbus TCP endpoint, 125 registers each, at little cost. */
function startPlant(unitCount: number, port = 0): Promise<ModbusTcpDevice> {
  const units = new Map<number, ModbusUnit>();
  for (let unitId = 1; unitId <= unitCount; unitId += 1) units.set(unitId, new WalkingUnit());
  return startModbusTcpDevice(units, port);
}

// `node plant.ts UNITS [PORT]` is the plant as a process of its own, so that a measurement does not pay for it.
// It prints `{"port":N}` and serves until it is killed.
if (import.meta.main) {
  const { port } = await startPlant(Number(process.argv[2] ?? 80), Number(process.argv[3] ?? 0));
  process.stdout.write(`${JSON.stringify({ port })}\n`);
}
