import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Site } from './site.ts';

/** The simulated plant as a process of its own, so that it outlives the daemon's deaths. Resolves with its port. */
export async function startPlantProcess(site: Site, units: number, port = 0): Promise<number> {
  const program = join(import.meta.dirname, '../../src/simulator/plant.ts');
  const words = [...site.prefix, process.execPath, program, String(units), String(port)];
  const plant = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  site.cleanUp(async () => {
    const exited = once(plant, 'exit');
    plant.kill();
    await exited;
  });
  const [line] = (await once(createInterface(plant.stdout), 'line')) as [string];
  return (JSON.parse(line) as { port: number }).port;
}

/** Devices of the plant in a configuration: `requests` counts what the unit answered, `flow` is measured. */
export function plantDevice(name: string, unitId: number, silo: string, every = '50ms'): string {
  return `  - name: ${name}
    silo: ${silo}
    bus: plant
    unitId: ${unitId}
    every: ${every}
    points:
      - { name: requests, table: holding, address: 0, type: uint16 }
      - { name: flow, table: holding, address: 1, type: uint16 }
`;
}

export function plantBus(port: number): string {
  return `buses:\n  - { name: plant, kind: modbus-tcp, host: 127.0.0.1, port: ${port} }\n`;
}
