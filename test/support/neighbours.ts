import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect, type MqttClient } from 'mqtt';
import { type Authority, createAuthority } from '../../src/simulator/certificate-authority.ts';
import type { GatewayStatus, Isolation } from '../../src/status/status.ts';
import type { TelemetryBatch } from '../../src/messages/telemetry.ts';
import { freePort } from './free-port.ts';
import { Mosquitto } from './mosquitto.ts';
import type { Disk } from './mount.ts';
import { keepFull, makeSiteDisk, publishLarge, whyNoFaultyDisk } from './neighbour-faults.ts';
import { startPlantProcess } from './plant.ts';
import { type Sdi12Sensors, startSdi12Sensors } from './sdi-12-sensors.ts';
import { Site } from './site.ts';

export const noisySilo = 'north';
export const quietSilo = 'south';
const noisyOrigin = { tenant: 'acme', gateway: 'acme_gw-0001' };

/** Faults inside the noisy tenant's isolate. */
export const isolateFaults = ['crash', 'heap leak', 'buffer leak', 'endless loop'] as const;
export type IsolateFault = (typeof isolateFaults)[number];

/** Faults around it. */
export const siteFaults = [
  'flood',
  'blocked broker',
  'full spool',
  'hostile devices',
  'large packets',
  'full disk',
  'failing disk',
  'endless measurement',
] as const;
export type SiteFault = (typeof siteFaults)[number];

export type Fault = IsolateFault | SiteFault;

export type GatewayWord = { kind: 'fault'; fault: IsolateFault } | { kind: 'status' };
export type GatewayAnswer = { kind: 'ready' } | { kind: 'status'; status: GatewayStatus };

/** Samples of the quiet tenant at its backend. */
export interface Arrivals {
  samples: number;
  /** Of those, from the sensor on the serial line that both tenants share. */
  lineSamples: number;
  /** Samples whose unit's own count says that one before them is missing. */
  lost: number;
  /** From answer to backend, ms, ascending. */
  latenciesMs: number[];
}

const floodUnits = 40;
const quietUnits = 8;

/**
 * Two tenants on one gateway, both with one kind of isolation, each with a broker of its own, both with devices on one
 * bus. The noisy one also has a bus to flood and one with hostile devices, which are dead until their fault is
 * injected.
 */
export class Neighbourhood implements AsyncDisposable {
  readonly #site: Site;
  readonly #noisyBroker: Mosquitto;
  /** Disk of the noisy silo's state, if this machine can make one. */
  readonly #noisyDisk: Disk | undefined;
  readonly #subscriber: MqttClient;
  readonly #gateway: ChildProcess;
  /** Set if the noisy silo is a process of its own. */
  readonly #noisyProcess: ChildProcess | undefined;
  readonly #floodPort: number;
  readonly #hostile: { server: Server; port: number };
  readonly #sensors: Sdi12Sensors;
  readonly #counts = new Map<string, number>();
  #arrivals: Arrivals = { samples: 0, lineSamples: 0, lost: 0, latenciesMs: [] };

  static async create(isolation: Isolation): Promise<Neighbourhood> {
    const authority = await createAuthority('Test CA');
    const site = await Site.create(authority);
    try {
      return await Neighbourhood.#settle(site, authority, isolation);
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  static async #settle(site: Site, authority: Authority, isolation: Isolation): Promise<Neighbourhood> {
    const [noisyBroker, quietBroker] = await Promise.all([
      Mosquitto.start({ authority }),
      Mosquitto.start({ authority }),
    ]);
    site.cleanUp(() => noisyBroker.close());
    site.cleanUp(() => quietBroker.close());
    const port = await startPlantProcess(site, quietUnits + 2);
    const [floodPort, hostilePort] = [await freePort(), await freePort()];
    const noisyDisk = whyNoFaultyDisk === undefined ? makeSiteDisk(site) : undefined;
    const sensors = await startSdi12Sensors(site.path('.'));
    site.cleanUp(() => sensors[Symbol.asyncDispose]());
    await site.issueGateway(noisySilo, noisyOrigin.tenant);
    await site.issueGateway(quietSilo, 'globex');
    await site.configure(
      configuration(
        { port, floodPort, hostilePort, disk: noisyDisk?.path, line: sensors.port },
        noisyBroker.url,
        quietBroker.url,
        isolation,
      ),
    );
    const subscriber = await subscribe(authority, quietBroker.url);
    site.cleanUp(() => subscriber.end(true));
    const noisyProcess =
      isolation === 'process'
        ? await startChild(site, 'neighbour-silo.ts', site.path(noisySocket))
        : undefined;
    const gateway = await startChild(site, 'neighbour-gateway.ts', site.config);
    const hostile = { server: createHostileDevice(), port: hostilePort };
    return new Neighbourhood({
      site,
      noisyBroker,
      noisyDisk,
      subscriber,
      gateway,
      noisyProcess,
      floodPort,
      hostile,
      sensors,
    });
  }

  private constructor(parts: {
    site: Site;
    noisyBroker: Mosquitto;
    noisyDisk: Disk | undefined;
    subscriber: MqttClient;
    gateway: ChildProcess;
    noisyProcess: ChildProcess | undefined;
    floodPort: number;
    hostile: { server: Server; port: number };
    sensors: Sdi12Sensors;
  }) {
    this.#site = parts.site;
    this.#noisyBroker = parts.noisyBroker;
    this.#noisyDisk = parts.noisyDisk;
    this.#subscriber = parts.subscriber;
    this.#gateway = parts.gateway;
    this.#noisyProcess = parts.noisyProcess;
    this.#floodPort = parts.floodPort;
    this.#hostile = parts.hostile;
    this.#sensors = parts.sensors;
    this.#subscriber.on('message', (_topic, payload) => this.#arrived(payload));
  }

  async status(): Promise<GatewayStatus> {
    const answer = once(this.#gateway, 'message') as Promise<[GatewayAnswer & { kind: 'status' }]>;
    this.#gateway.send({ kind: 'status' } satisfies GatewayWord);
    return (await answer)[0].status;
  }

  /** What arrived since the last call. */
  take(): Arrivals {
    const arrivals = this.#arrivals;
    arrivals.latenciesMs.sort((a, b) => a - b);
    this.#arrivals = { samples: 0, lineSamples: 0, lost: 0, latenciesMs: [] };
    return arrivals;
  }

  /** Injects a fault, which lasts until the neighbourhood ends. */
  async inject(fault: Fault): Promise<void> {
    switch (fault) {
      case 'flood':
        await startPlantProcess(this.#site, floodUnits, this.#floodPort);
        return;
      case 'full spool':
        await startPlantProcess(this.#site, floodUnits, this.#floodPort);
        return this.#noisyBroker.stop();
      case 'blocked broker':
        return this.#noisyBroker.freeze();
      case 'hostile devices':
        this.#hostile.server.listen(this.#hostile.port, '127.0.0.1');
        return;
      case 'large packets':
        return publishLarge(this.#site.authority, this.#noisyBroker.url, noisyOrigin);
      case 'full disk':
        return keepFull(this.#site, this.#noisyDisk!);
      case 'failing disk':
        return this.#noisyDisk!.cutPower();
      case 'endless measurement':
        this.#sensors.announce(999);
        return;
      case 'crash':
      case 'heap leak':
      case 'buffer leak':
      case 'endless loop':
        if (this.#noisyProcess !== undefined) this.#noisyProcess.send(fault satisfies IsolateFault);
        else this.#gateway.send({ kind: 'fault', fault } satisfies GatewayWord);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hostile.server.close();
    await this.#site[Symbol.asyncDispose]();
  }

  #arrived(payload: Buffer): void {
    const now = Date.now();
    for (const { device, ts, values } of (JSON.parse(payload.toString()) as TelemetryBatch).samples) {
      const count = values['requests'];
      this.#arrivals.samples += 1;
      // A dialogue on a busy machine may time out: the serial line is judged by its rate.
      if (device === quietLine) {
        this.#arrivals.lineSamples += 1;
        continue;
      }
      this.#arrivals.latenciesMs.push(now - ts);
      if (typeof count !== 'number') {
        this.#arrivals.lost += 1;
        continue;
      }
      const before = this.#counts.get(device);
      if (before !== undefined) this.#arrivals.lost += (count - before - 1 + 65_536) % 65_536;
      this.#counts.set(device, count);
    }
  }
}

/** One of the programs beside this file, once it says something; ended with the site. */
async function startChild(site: Site, program: string, word: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, program), [word], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  site.cleanUp(() => end(child));
  await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error(`${program} did not start`))),
  ]);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

interface Ports {
  port: number;
  floodPort: number;
  hostilePort: number;
  /** Of the noisy silo's state. */
  disk: string | undefined;
  line: string;
}

/** The quiet tenant's sensor on the shared serial line, and the noisy one's. */
export const quietLine = 'quiet-line';
export const noisyLine = 'noisy-line';

/** Of the noisy silo's process; the quiet one's is started by the gateway itself. */
const noisySocket = 'noisy.sock';

function configuration(
  { port, floodPort, hostilePort, disk, line }: Ports,
  noisyUrl: string,
  quietUrl: string,
  isolation: Isolation,
): string {
  const silo = (name: string, url: string, protocol: string, more: string): string => `  - name: ${name}
    identity: { certificate: ./${name}.crt, privateKey: ./${name}.key, trust: ./ca.crt }
    uplink: { url: '${url}', ca: ./ca.crt, order: fifo, protocol: ${protocol} }
    batch: { linger: 50ms }
    memoryMax: 64MB
    isolation: ${isolation}
${more}`;
  const socket = isolation === 'process' ? `    socket: ./${noisySocket}\n` : '';
  const device = (name: string, silo: string, bus: string, unitId: number, every: string): string =>
    `  - name: ${name}
    silo: ${silo}
    bus: ${bus}
    unitId: ${unitId}
    every: ${every}
${bus === 'shared' ? '    responseTimeout: 3s # on a machine that is too busy\n' : ''}    points:
      - { name: requests, table: holding, address: 0, type: uint16 }
      - { name: flow, table: holding, address: 1, type: uint16 }
`;
  const sdi12 = (name: string, silo: string, address: number, values: string, fields: string): string =>
    `  - name: ${name}
    silo: ${silo}
    bus: line
    every: 1s
    responseTimeout: 3s
    protocol:
      request:
        - { send: '${address}M!', expect: '^${address}(?<seconds>\\d{3})\\d$' }
        - { expect: '^${address}$', timeout: { secondsOf: seconds }, optional: true }
        - { send: '${address}D0!', expect: '^${address}[+-]' }
      messages: [{ pattern: '^${address}${values}', fields: [${fields}] }]
`;
  const many = (count: number, make: (unitId: number) => string): string =>
    Array.from({ length: count }, (_, index) => make(index + 1)).join('');
  const stateDir = disk === undefined ? '' : `    stateDir: ${disk}/silo\n`;
  // On 3.1.1 a client can't tell the broker its largest packet.
  const noisy = silo(noisySilo, noisyUrl, "'3.1.1'", `    spool: { bytesMax: 1MB }\n${stateDir}${socket}`);
  return `silos:
${noisy}${silo(quietSilo, quietUrl, '5', '')}buses:
  - { name: shared, kind: modbus-tcp, host: 127.0.0.1, port: ${port} }
  - { name: flood, kind: modbus-tcp, host: 127.0.0.1, port: ${floodPort}, pipeline: 16 }
  - { name: hostile, kind: modbus-tcp, host: 127.0.0.1, port: ${hostilePort}, pipeline: 4 }
  - { name: line, kind: serial, port: ${line}, baudRate: 9600 }
devices:
${sdi12(quietLine, quietSilo, 1, '\\+(?<requests>\\d+)\\+(?<flow>[\\d.]+)', '{ name: requests }, { name: flow }')}
${sdi12(noisyLine, noisySilo, 0, '(?<flow>[+-][\\d.]+)', '{ name: flow }')}
${many(quietUnits, (unit) => device(`quiet-${unit}`, quietSilo, 'shared', unit, '100ms'))}
${many(2, (unit) => device(`noisy-${unit}`, noisySilo, 'shared', quietUnits + unit, '100ms'))}
${many(floodUnits, (unit) => device(`flood-${unit}`, noisySilo, 'flood', unit, '10ms'))}
${many(8, (unit) => device(`hostile-${unit}`, noisySilo, 'hostile', unit, '10ms'))}`;
}

/**
 * Answers every other request correctly, so that it is polled on, and sends all kinds of other bytes as fast as they
 * are read: noise, headers of other answers, endless answers.
 */
function createHostileDevice(): Server {
  let requests = 0;
  return createServer((socket: Socket) => {
    socket.on('error', () => {});
    socket.on('data', (request) => {
      requests += 1;
      if (requests % 2 === 0) socket.write(rightAnswer(request));
      for (let turn = 0; turn < 50; turn += 1) {
        const answer = Buffer.alloc(260, turn);
        request.copy(answer, 0, 0, turn % 12);
        socket.write(answer);
      }
    });
  });
}

/** Registers of zeros (Modbus V1.1b3 §6.3, MBAP of Messaging on TCP/IP V1.0b §3.1.3). */
function rightAnswer(request: Buffer): Buffer {
  const bytes = (request[11] ?? 0) * 2;
  const answer = Buffer.alloc(9 + bytes);
  request.copy(answer, 0, 0, 8);
  answer.writeUInt16BE(3 + bytes, 4);
  answer[8] = bytes;
  return answer;
}

async function subscribe(authority: Authority, url: string): Promise<MqttClient> {
  const backend = await authority.issue({ organization: 'backend', commonName: 'backend' });
  const subscriber = connect(url, {
    ca: authority.certificatePem,
    cert: backend.certificatePem,
    key: backend.privateKeyPem,
    protocolVersion: 5,
  });
  await new Promise((resolve) => subscriber.once('connect', resolve));
  await subscriber.subscribeAsync('t/+/+/telemetry', { qos: 1 });
  return subscriber;
}
