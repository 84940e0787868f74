import { startModbusTcpDevice, type ModbusTcpDevice } from './modbus-tcp-device.ts';
import { RegisterImage, type ModbusUnit } from './register-image.ts';

/** What one request may read at most (Modbus V1.1b3 §6.3). */
const registersPerUnit = 125;

/** All holding registers, from 0 on, hold the number of requests so far (modulo 65536): a lost sample shows. */
class CountingUnit implements ModbusUnit {
  readonly #image = new RegisterImage();
  readonly #registers = Buffer.alloc(registersPerUnit * 2);
  #requests = 0;

  constructor() {
    this.#image.define('holding', 0, registersPerUnit);
  }

  answer(request: Uint8Array): Buffer {
    this.#requests += 1;
    this.#registers.fill(Buffer.of((this.#requests >> 8) & 0xff, this.#requests & 0xff));
    this.#image.setRegisters('holding', 0, this.#registers);
    return this.#image.answer(request);
  }
}

/** For load tests: units 1 to `unitCount` on one Modbus TCP endpoint, 125 registers each, at little cost. */
export function startPlant(unitCount: number, port = 0): Promise<ModbusTcpDevice> {
  const units = new Map<number, ModbusUnit>();
  for (let unitId = 1; unitId <= unitCount; unitId += 1) units.set(unitId, new CountingUnit());
  return startModbusTcpDevice(units, port);
}

// `node plant.ts UNITS` is the plant as a process of its own, so that a measurement does not pay for it.
// It prints `{"port":N}` and serves until it is killed.
if (import.meta.main) {
  const { port } = await startPlant(Number(process.argv[2] ?? 80));
  process.stdout.write(`${JSON.stringify({ port })}\n`);
}
