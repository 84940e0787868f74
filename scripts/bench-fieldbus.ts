/**
 * Throughput and cost of the fieldbus: `node scripts/bench-fieldbus.ts [seconds per measurement]`.
 * Serial throughput is measured on a simulated line that keeps to its baud rate, beside what the line allows;
 * transactions over TCP and a PTY against a libmodbus server in a process of its own, beside bare modbus-serial.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import modbusSerial from 'modbus-serial';
import { systemClock } from '../src/base/clock.ts';
import { silentLogger } from '../src/base/logger.ts';
import { startFieldbus } from '../src/fieldbus/fieldbus.ts';
import type { ModbusClient } from '../src/fieldbus/modbus/modbus-client.ts';
import { serialTiming } from '../src/fieldbus/modbus/line-timing.ts';
import { openBus } from '../src/fieldbus/modbus/modbus-endpoint.ts';
import type { ModbusBusOptions } from '../src/fieldbus/options.ts';
import type { ModbusDeviceOptions } from '../src/fieldbus/options.ts';
import { costModel, costOf } from '../src/fieldbus/modbus/planning/request-cost.ts';
import { itemsOf, planRequests } from '../src/fieldbus/modbus/planning/planner.ts';
import { noBadRegisters } from '../src/fieldbus/modbus/planning/bad-registers.ts';
import { openPtyPair } from '../src/simulator/pty.ts';
import { modbusDevice, registerPoint, rtuBus, tcpBus } from '../test/support/modbus-options.ts';
import { startLibmodbus } from '../test/support/modbus-servers.ts';
import { rtuUnit, SimulatedLine } from '../test/support/serial-line.ts';

const ModbusSerial = modbusSerial.default;
const seconds = Number(process.argv[2] ?? 10);
const quantity = 125;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Useful registers of a three-phase meter: floats in clusters with gaps between. */
const clusters = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 52, 56, 70, 72, 74, 76, 156, 158];

function meter(index: number): ModbusDeviceOptions {
  const points = clusters.map((address) =>
    registerPoint(`p${address}`, { table: 'input', address, type: 'float32', everyMs: 1 }),
  );
  return modbusDevice(`meter-${index}`, { bus: 'rs485', unitId: index, everyMs: 1, points });
}

/** Ten meters polled as fast as the line lets them. */
async function measureLine(): Promise<void> {
  const bus = rtuBus('simulated', { baudRate: 19_200 });
  const line = new SimulatedLine(bus, systemClock);
  const devices = Array.from({ length: 10 }, (_, index) => meter(index + 1));
  const answerMs = devices.map((_, index) => 8 + 3 * index);
  for (const [index, { unitId }] of devices.entries()) {
    const answer = (pdu: Uint8Array): Uint8Array => {
      const bytes = (pdu[4]! || 0) * 2;
      return Uint8Array.of(pdu[0]!, bytes, ...new Uint8Array(bytes));
    };
    line.attach(rtuUnit(unitId, answer, () => answerMs[index]!));
  }
  const roundMs = devices.reduce((sum, device, index) => {
    const cost = costModel(serialTiming(bus), answerMs[index]!);
    const plan = planRequests(itemsOf(device.points), device.limits, cost, noBadRegisters, 0);
    return sum + plan.reduce((ms, { table, quantity }) => ms + costOf(cost, table, quantity), 0);
  }, 0);
  let values = 0;
  let counting = false;
  const fieldbus = startFieldbus(
    { buses: [bus], devices },
    {
      clock: systemClock,
      logger: silentLogger,
      openChannel: () => line.openChannel(),
      deliver: (_silo, samples) => {
        if (counting) for (const sample of samples) values += Object.keys(sample.values).length;
      },
    },
  );
  await elapsed(3);
  counting = true;
  const tookS = await elapsed(seconds * 2);
  await fieldbus.stop();
  const allowed = (devices.length * clusters.length * 1000) / roundMs;
  const reached = values / tookS;
  print(`10 meters at 19,200 baud, answers after 8 to 35 ms, ${clusters.length} floats each:`);
  print(`  the line allows  ${allowed.toFixed(1)} values/s`);
  print(`  reached          ${reached.toFixed(1)} values/s   ${((reached / allowed) * 100).toFixed(1)} %`);
  if (line.collisions > 0) print(`  ${line.collisions} frames without silence before them`);
}

/** Waits; returns the seconds that really passed. */
async function elapsed(durationS: number): Promise<number> {
  const from = performance.now();
  await new Promise((resolve) => setTimeout(resolve, durationS * 1000));
  return (performance.now() - from) / 1000;
}

/** Asks `depth` at a time for a while; prints transactions a second and CPU time for each. */
async function measure(what: string, depth: number, ask: () => Promise<unknown>): Promise<void> {
  for (let warm = 0; warm < 50; warm += 1) await ask();
  const until = performance.now() + seconds * 1000;
  const from = performance.now();
  const before = process.cpuUsage();
  let count = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < until) {
      await ask();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: depth }, worker));
  const { user, system } = process.cpuUsage(before);
  const perSecond = count / ((performance.now() - from) / 1000);
  const cpuUs = (user + system) / count;
  print(
    `  ${what.padEnd(34)} ${perSecond.toFixed(0).padStart(7)}/s  ${cpuUs.toFixed(0).padStart(6)} µs CPU each`,
  );
}

function asker(client: ModbusClient): () => Promise<void> {
  const request = { functionCode: 3, address: 0, quantity } as const;
  return async () => {
    const outcome = await client.transact({ unitId: 1, request, timeoutMs: 2000 });
    if (outcome.kind !== 'data') throw new Error(`no data: ${JSON.stringify(outcome)}`);
  };
}

async function measureOurs(what: string, bus: ModbusBusOptions, depth: number): Promise<void> {
  const opened = await openBus(bus, { clock: systemClock });
  await measure(what, depth, asker(opened.client));
  await opened[Symbol.asyncDispose]();
}

async function measureTheirs(
  what: string,
  connect: (client: InstanceType<typeof ModbusSerial>) => Promise<void>,
): Promise<void> {
  const client = new ModbusSerial();
  await connect(client);
  client.setID(1);
  client.setTimeout(2000);
  await measure(what, 1, () => client.readHoldingRegisters(0, quantity));
  await new Promise((resolve) => client.close(() => resolve(undefined)));
}

async function measureTransactions(folder: string): Promise<void> {
  const image = join(folder, 'image');
  writeFileSync(image, `holding 0 ${'002a'.repeat(quantity)}\n`);
  const server = await startLibmodbus('tcp', image);
  print(`\nModbus TCP, ${quantity} registers, libmodbus server:`);
  await measureTheirs('modbus-serial', (client) => client.connectTCP('127.0.0.1', { port: server.port }));
  for (const depth of [1, 4, 16]) {
    await measureOurs(`Merestone, ${depth} in flight`, tcpBus(server.port, { pipeline: depth }), depth);
  }
  await server.close();

  const pair = await openPtyPair(folder, 'line');
  const rtu = await startLibmodbus('rtu', pair.deviceEnd, image);
  const baudRate = 115_200;
  print(`\nModbus RTU over a PTY, ${quantity} registers, libmodbus server:`);
  await measureTheirs('modbus-serial, buffered', (client) =>
    client.connectRTUBuffered(pair.gatewayEnd, { baudRate }),
  );
  await measureOurs('Merestone, 1.75 ms silence kept', rtuBus(pair.gatewayEnd, { baudRate }), 1);
  await rtu.close();
  await pair.close();
}

const folder = mkdtempSync(join(tmpdir(), 'merestone-bench-'));
try {
  await measureLine();
  await measureTransactions(folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
