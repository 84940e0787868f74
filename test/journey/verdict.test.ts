import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { type Authority, createAuthority } from '../../src/simulator/certificate-authority.ts';
import { eventually } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { askAlike, type Outlets } from '../support/outlets.ts';
import { plantDevice, startPlantProcess } from '../support/plant.ts';
import {
  packetType,
  parsePublish,
  type Peer,
  type RawPacket,
  ScriptedBroker,
} from '../support/scripted-broker.ts';
import { Site, siloEntry } from '../support/site.ts';
import { Subscriber } from '../support/subscriber.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

/** As RabbitMQ does: a denied packet gets no answer, and the connection ends. */
function hangUpOnTelemetry(packet: RawPacket, peer: Peer): void {
  if (packet.type === packetType.connect) peer.send([0x20, 3, 0, 0, 0]);
  if (packet.type !== packetType.publish) return;
  const { topic, packetId } = parsePublish(packet);
  if (topic.endsWith('/telemetry')) peer.hangUp();
  else peer.send([0x40, 2, ...packetId]);
}

const bus = (name: string, port: number): string =>
  `  - { name: ${name}, kind: modbus-tcp, host: 127.0.0.1, port: ${port}, deadShareMax: 0.9 }\n`;

const device = (
  name: string,
  unitId: number,
  onBus: string,
  silo: string,
  point: string,
  every = '250ms',
): string =>
  `  - { name: ${name}, silo: ${silo}, bus: ${onBus}, unitId: ${unitId}, every: ${every}, points: [${point}] }\n`;

const register = (address: number, more = ''): string =>
  `{ name: flow, table: holding, address: ${address}, type: uint16${more} }`;

interface VerdictSite {
  site: Site;
  base: string;
}

describe('the verdict is the same on page, healthz, status and metrics', { concurrency: true }, () => {
  let authority: Authority;
  let broker: Mosquitto;
  /** It grants `unread` all and every other silo nothing, and has no subscriber. */
  let deafBroker: Mosquitto;
  let closing: ScriptedBroker;
  const closed: (() => unknown)[] = [];

  before(async () => {
    authority = await createAuthority('Test CA');
    broker = await Mosquitto.start({ authority });
    deafBroker = await Mosquitto.start({ authority, acl: ['user unread_gw-0001', 'topic readwrite t/#'] });
    closing = await ScriptedBroker.start(authority, hangUpOnTelemetry);
    const listener = await Site.create(authority);
    await listener.issueBackend();
    const subscriber = await Subscriber.open(listener, broker.url);
    closed.push(
      () => subscriber.close(),
      () => listener[Symbol.asyncDispose](),
      () => closing.close(),
    );
    closed.push(
      () => deafBroker.close(),
      () => broker.close(),
    );
  });
  after(async () => {
    for (const close of closed) await close();
  });

  /** A gateway of these silos, each with a tenant of the same name; `body` has its buses and devices. */
  async function start(
    site: Site,
    silos: string[],
    body: (plantPort: number) => Promise<string>,
  ): Promise<VerdictSite> {
    const plantPort = await startPlantProcess(site, 4);
    const entries: string[] = [];
    for (const name of silos) {
      await site.issueGateway(name, name);
      const urls: Record<string, string> = {
        denied: deafBroker.url,
        unread: deafBroker.url,
        closing: closing.url,
      };
      const quota = name === 'held' ? '    quota: { samplesPerSecond: 2 }\n' : '';
      entries.push(siloEntry(name, urls[name] ?? broker.url) + quota);
    }
    const head = `stateDir: ./state\ncontrol: { socket: ${site.controlSocket} }\nhttp: { listen: '127.0.0.1:0' }\n`;
    await writeFile(site.config, `${head}silos:\n${entries.join('')}${await body(plantPort)}`);
    const daemon = site.startDaemon();
    const port = await eventually('the port in the log', () => {
      const line = daemon.log.find(({ event }) => event === 'http listens');
      return line?.['port'] as number | undefined;
    });
    return { site, base: `http://127.0.0.1:${port}` };
  }

  /** Waits until health has a reason for each of these, and no more of that weight; then asks everywhere. */
  async function settled({ site, base }: VerdictSite, verdict: string, reasons: RegExp[]): Promise<Outlets> {
    await eventually(
      `${verdict}: ${reasons.join()}`,
      async () => {
        const told = (await (await fetch(`${base}/healthz`)).json()) as Outlets['health'];
        if (told.verdict !== verdict) throw new Error(JSON.stringify(told));
        const missing = reasons.find((reason) => !told.reasons.some((each) => reason.test(each)));
        if (missing !== undefined) throw new Error(`${String(missing)}: ${JSON.stringify(told)}`);
        return true;
      },
      75_000,
    );
    return await askAlike(site.config, base);
  }

  it('is good if every device gives values and every batch is accepted, and degraded as soon as one does not', async () => {
    await using site = await Site.create(authority);
    await using line = await TcpProxy.start(await startPlantProcess(site, 1));
    const model = await start(
      site,
      ['calm'],
      async () => `buses:
${bus('plant', line.port)}devices:
${plantDevice('unit', 1, 'calm', '500ms')}`,
    );
    const { health } = await settled(model, 'good', []);
    assert.deepEqual(health, { verdict: 'good', healthy: true, reasons: [] });
    line.freeze();
    const { json } = await settled(model, 'degraded', [
      /^device unit gives no value now, .*no answer .*; check/,
    ]);
    assert.deepEqual(json.findings[0]!.silos, ['calm']);
  });

  it('is degraded by an overloaded bus, a quota and an implausible value', async () => {
    await using site = await Site.create(authority);
    const model = await start(site, ['held'], async (plantPort) => {
      const slow = await TcpProxy.start(plantPort, 100);
      site.cleanUp(() => slow.close());
      const three = ['a', 'b', 'c'].map((name, index) =>
        device(name, 1 + index, 'slow', 'held', register(1), '100ms'),
      );
      return `buses:\n${bus('plant', plantPort)}${bus('slow', slow.port)}devices:
${device('wrong', 4, 'plant', 'held', register(1, ', max: 10'))}${three.join('')}`;
    });
    const { metrics } = await settled(model, 'degraded', [
      /^bus slow is overloaded: \d+ % of what it can carry is asked of it; read '[abc]' less often/,
      /^silo held has reached a quota, samples a second: .*; read less often/,
      /^device wrong has 1 of 1 points that fail or are implausible: flow \(implausible\).*; wrong profile/,
      /^device a is read [\d.]+ m?s late, and its interval is 100 ms; /,
    ]);
    const load = Number(/^merestone_bus_load_ratio\{bus="slow",kind="modbus-tcp"\} (.*)$/m.exec(metrics)![1]);
    assert.ok(load > 2, `three devices, each 200 ms in 100: ${load}`);
    assert.match(
      metrics,
      /^merestone_findings\{tenant="held",silo="held",verdict="degraded",kind="quota"\} 1$/m,
    );
  });

  it('is failing if a broker refuses every batch, has no subscriber, or hangs up on them', async () => {
    await using site = await Site.create(authority);
    const silos = ['denied', 'unread', 'closing'];
    const model = await start(
      site,
      silos,
      async (plantPort) => `buses:
${bus('plant', plantPort)}devices:
${silos.map((name, index) => plantDevice(name, 1 + index, name, '250ms')).join('')}`,
    );
    const { metrics } = await settled(model, 'failing', [
      /^silo denied has had no batch accepted for .*the broker refuses t\/denied\/.*not authorized \(0x87\).*; .*'merestone broker-policy'/,
      /^silo unread has had no batch accepted for .*nobody subscribes to t\/unread\/.*; .*start the backend/,
      /^silo closing has had no batch accepted for .*; /,
    ]);
    for (const name of silos) {
      assert.match(
        metrics,
        new RegExp(
          `^merestone_findings\\{tenant="${name}",silo="${name}",verdict="failing",kind="not-accepted"\\} 1$`,
          'm',
        ),
      );
    }
  });

  it('is failing if the only device is dead, or gives only an exception, and while a bus is lost', async () => {
    await using site = await Site.create(authority);
    const model = await start(site, ['lonely'], async (plantPort) => {
      const mute = await TcpProxy.start(plantPort);
      mute.freeze();
      site.cleanUp(() => mute.close());
      return `buses:\n${bus('plant', plantPort)}${bus('mute', mute.port)}${bus('gone', 1)}devices:
${device('refusing', 1, 'plant', 'lonely', register(900))}${device('dead', 1, 'mute', 'lonely', register(1))}${device('far', 1, 'gone', 'lonely', register(1))}`;
    });
    const { text, metrics } = await settled(model, 'failing', [
      /^device refusing has never given a value for .*exception 2.*; compare table and address/,
      /^device dead has never given a value for .*no answer within 1 s; check its power/,
      /^bus gone is lost: .*; device far is offline; see that the endpoint is on/,
    ]);
    assert.match(text, /refusing +lonely +failing +never/);
    for (const name of ['refusing', 'dead', 'far']) {
      assert.match(metrics, new RegExp(`^merestone_device_up\\{.*device="${name}"\\} 0$`, 'm'));
      assert.doesNotMatch(
        metrics,
        new RegExp(`^merestone_device_last_sample_timestamp_seconds\\{.*device="${name}"`, 'm'),
      );
    }
  });
});
