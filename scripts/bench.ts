/**
 * Measures the whole path of a reading: a Modbus TCP plant → the daemon → Mosquitto → a subscriber.
 *
 *   node scripts/bench.ts [--seconds 30] [--units 80] [--compression zstd] [--linger 1s]
 *
 * Each unit has 125 registers and is read once a second: 80 units are 10,000 readings a second. The daemon,
 * the plant and the broker are processes of their own; CPU, memory and disk are the daemon's alone, read from
 * /proc. Prints one figure a line beside its target. The exit code does not depend on the figures.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { zstdDecompressSync } from 'node:zlib';
import { connect } from 'mqtt';
import { connectControl } from '../src/admin/control-client.ts';
import { createAuthority } from '../src/simulator/certificate-authority.ts';
import type { GatewayStatus } from '../src/status/status.ts';
import type { TelemetryBatch } from '../src/messages/telemetry.ts';
import { Mosquitto } from '../test/support/mosquitto.ts';

const registersPerUnit = 125;
/** The first seconds pay for compiling and connecting; the figures are of what follows. */
const warmUpSeconds = 5;
const ticksPerSecond = 100;

const { values: settings } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    units: { type: 'string', default: '80' },
    compression: { type: 'string', default: 'zstd' },
    linger: { type: 'string', default: '1s' },
    pipeline: { type: 'string', default: '4' },
  },
});
const seconds = Number(settings.seconds);
const units = Number(settings.units);
const root = join(import.meta.dirname, '..');

interface Usage {
  cpuSeconds: number;
  diskBytes: number;
  residentBytes: number;
}

async function usageOf(pid: number): Promise<Usage> {
  const [stat, io, status] = await Promise.all(
    ['stat', 'io', 'status'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8')),
  );
  const fields = stat!.slice(stat!.lastIndexOf(')') + 2).split(' ');
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    diskBytes: Number(/^write_bytes: (\d+)/m.exec(io!)![1]),
    residentBytes: Number(/^VmHWM:\s+(\d+)/m.exec(status!)![1]) * 1024,
  };
}

async function startPlantProcess(): Promise<{ process: ChildProcess; port: number }> {
  const plant = spawn(process.execPath, [join(root, 'src/simulator/plant.ts'), String(units)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(plant.stdout), 'line')) as [string];
  return { process: plant, port: (JSON.parse(line) as { port: number }).port };
}

function configuration(plantPort: number, brokerUrl: string): string {
  const points = Array.from(
    { length: registersPerUnit },
    (_, address) =>
      `      - { name: reg_${String(address).padStart(3, '0')}, table: holding, address: ${address}, type: uint16 }\n`,
  ).join('');
  const devices = Array.from({ length: units }, (_, index) => {
    const listed = index === 0 ? `&points\n${points}` : '*points\n';
    return `  - name: unit-${index + 1}\n    bus: plant\n    unitId: ${index + 1}\n    every: 1s\n    points: ${listed}`;
  }).join('');
  return `stateDir: ./state
control: { socket: ./control.sock }
silos:
  - name: plant
    identity: { certificate: ./gateway.crt, privateKey: ./gateway.key, trust: ./ca.crt }
    uplink: { url: '${brokerUrl}', ca: ./ca.crt, compression: ${settings.compression} }
    batch: { linger: ${settings.linger} }
buses:
  - { name: plant, kind: modbus-tcp, host: 127.0.0.1, port: ${plantPort}, pipeline: ${settings.pipeline} }
devices:
${devices}
`;
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

async function statusOf(folder: string): Promise<GatewayStatus> {
  const client = await connectControl(join(folder, 'control.sock'));
  const status = (await client.request('status')) as GatewayStatus;
  client.close();
  return status;
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'merestone-bench-'));
  const processes: ChildProcess[] = [];
  const authority = await createAuthority('Bench CA');
  const broker = await Mosquitto.start({ authority });
  try {
    const plant = await startPlantProcess();
    processes.push(plant.process);
    const gateway = await authority.issue({ organization: 'acme', commonName: 'acme_gw-0001' });
    const backend = await authority.issue({ organization: 'backend', commonName: 'backend' });
    await mkdir(join(folder, 'state'));
    const config = join(folder, 'merestone.yaml');
    await Promise.all([
      writeFile(join(folder, 'ca.crt'), authority.certificatePem),
      writeFile(join(folder, 'gateway.crt'), gateway.certificatePem),
      writeFile(join(folder, 'gateway.key'), gateway.privateKeyPem, { mode: 0o600 }),
      writeFile(config, configuration(plant.port, broker.url)),
    ]);

    const latencies: number[] = [];
    let readings = 0;
    let measuring = false;
    const subscriber = connect(broker.url, {
      ca: authority.certificatePem,
      cert: backend.certificatePem,
      key: backend.privateKeyPem,
      protocolVersion: 5,
    });
    let begun = (): void => {};
    const firstBatch = new Promise<void>((resolve) => {
      begun = resolve;
    });
    subscriber.on('message', (_topic, payload) => {
      begun();
      if (!measuring) return;
      const now = Date.now();
      const json = settings.compression === 'zstd' ? zstdDecompressSync(payload) : payload;
      for (const sample of (JSON.parse(json.toString()) as TelemetryBatch).samples) {
        readings += Object.keys(sample.values).length;
        latencies.push(now - sample.ts);
      }
    });
    await new Promise((resolve) => subscriber.once('connect', resolve));
    await subscriber.subscribeAsync('t/+/+/telemetry', { qos: 1 });

    const daemon = spawn(join(root, 'scripts/merestone'), ['run', '--config', config], {
      stdio: ['ignore', process.env['BENCH_LOG'] ? 'inherit' : 'ignore', 'inherit'],
    });
    processes.push(daemon);
    await firstBatch;
    await new Promise((resolve) => setTimeout(resolve, warmUpSeconds * 1000));
    const before = await usageOf(daemon.pid!);
    const statusBefore = await statusOf(folder);
    const startedAt = performance.now();
    measuring = true;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    measuring = false;
    const elapsed = (performance.now() - startedAt) / 1000;
    const after = await usageOf(daemon.pid!);
    const statusAfter = await statusOf(folder);
    subscriber.end(true);

    const sent = statusAfter.silos[0]!.uplink!.bytesSent - statusBefore.silos[0]!.uplink!.bytesSent;
    latencies.sort((a, b) => a - b);
    const figure = (label: string, value: string, target: string): void => {
      process.stdout.write(`${label.padEnd(34)}${value.padStart(12)}   ${target}\n`);
    };
    figure('readings a second', (readings / elapsed).toFixed(0), `target ${units * registersPerUnit}`);
    figure(
      'CPU seconds a million readings',
      (((after.cpuSeconds - before.cpuSeconds) / readings) * 1e6).toFixed(2),
      'target 8',
    );
    figure('peak RSS, MB', (after.residentBytes / 1e6).toFixed(0), 'target 110');
    figure(
      'bytes to disk a reading',
      ((after.diskBytes - before.diskBytes) / readings).toFixed(1),
      'target 40',
    );
    figure('bytes sent per reading', (sent / readings).toFixed(2), 'target 6 (zstd)');
    figure('p50 answer to subscriber, ms', percentile(latencies, 0.5).toFixed(0), '');
    figure(
      'p99 answer to subscriber, ms',
      percentile(latencies, 0.99).toFixed(0),
      `target linger (${settings.linger}) + 50 ms`,
    );
  } finally {
    for (const each of processes) each.kill('SIGTERM');
    await Promise.all(processes.filter((each) => each.exitCode === null).map((each) => once(each, 'exit')));
    await broker.close();
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
