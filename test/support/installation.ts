import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Row } from '../../src/backend/row.ts';
import type { GatewayStatus, Isolation, SiloStatus } from '../../src/status/status.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import type { Container } from './container.ts';
import { eventually } from './daemon.ts';
import { Mosquitto } from './mosquitto.ts';
import { startPlantProcess } from './plant.ts';
import { Site, siloEntry } from './site.ts';

const units = join(import.meta.dirname, '../../systemd');
/** The command, in a container. */
export const merestone = '/opt/merestone/scripts/merestone';
export const asUnit = '/opt/merestone/scripts/as-unit';
export const sealKey = '/opt/merestone/scripts/seal-key';
/** Node, in a shell line in a container. */
export const node = `"$(root=/opt/merestone bash -c '. $root/scripts/runtime; find_runtime; echo $node')"`;

/** Merestone in a container as a technician puts it there, with a broker, a plant and a backend in its network. */
export class Installation implements AsyncDisposable {
  readonly container: Container;
  readonly plantPort: number;
  readonly #site: Site;
  readonly #brokerUrl: string;

  private constructor(container: Container, site: Site, brokerUrl: string, plantPort: number) {
    this.container = container;
    this.#site = site;
    this.#brokerUrl = brokerUrl;
    this.plantPort = plantPort;
  }

  static async create(container: Container): Promise<Installation> {
    const authority = await createAuthority('Test CA');
    const site = await Site.create(authority);
    try {
      site.prefix = container.network;
      const broker = await Mosquitto.start({ authority, prefix: container.network });
      site.cleanUp(() => broker.close());
      const plantPort = await startPlantProcess(site, 4);
      await site.issueBackend();
      // The container's Debian is too small to know `localhost`.
      const brokerUrl = `mqtts://127.0.0.1:${broker.port}`;
      site.startConsumer(brokerUrl);
      return new Installation(container, site, brokerUrl, plantPort);
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  async installUnit(name: string): Promise<void> {
    const text = await readFile(join(units, name), 'utf8');
    await this.container.write(`/etc/systemd/system/${name}`, text, '644');
    await this.container.expect('systemctl', 'daemon-reload');
  }

  /** Writes the certificate, key and CA of a tenant's gateway into `folder`, root's alone. */
  async installIdentity(folder: string, name: string, tenant: string): Promise<void> {
    await this.#site.issueGateway(name, tenant);
    for (const file of [`${name}.crt`, `${name}.key`, 'ca.crt']) {
      await this.container.write(`${folder}/${file}`, await readFile(this.#site.path(file), 'utf8'));
    }
  }

  /** Writes the configuration; `body` begins with `silos:`. */
  configure(body: string): Promise<void> {
    return this.container.write('/etc/merestone/merestone.yaml', body, '644');
  }

  /** A silo whose files the unit `credentials` hands over. */
  siloEntry(name: string, credentials: string, isolation: Isolation = 'thread', more = ''): string {
    const entry = siloEntry(name, this.#brokerUrl, '', isolation);
    return entry.replaceAll('./', `/run/credentials/${credentials}/identity_`) + more;
  }

  async status(): Promise<GatewayStatus> {
    const { exitCode, stdout, stderr } = await this.container.run(merestone, 'status', '--json');
    // 1 and 2 are its verdict.
    if (exitCode === null || exitCode > 2) throw new Error(`status: exit ${exitCode}: ${stderr}`);
    return JSON.parse(stdout) as GatewayStatus;
  }

  async silo(name: string): Promise<SiloStatus> {
    const { silos } = await this.status();
    return silos.find((silo) => silo.name === name)!;
  }

  /** Resolves when the backend has good rows of `tenant`'s device that were read from now on. */
  async readings(tenant: string, device: string): Promise<void> {
    const from = Date.now();
    await eventually(`readings of ${tenant}'s ${device}`, async () =>
      (await this.rows(tenant)).some(
        ({ device: of, ts, quality }) => of === device && ts > from && quality === 'good',
      ),
    );
  }

  async rows(tenant: string): Promise<Row[]> {
    return (await this.#site.rows()).filter((row) => row.tenant === tenant);
  }

  /** The seqs that the backend misses of the tenant's epochs, as `epoch seq`. */
  async seqHoles(tenant: string): Promise<string[]> {
    const rows = await this.rows(tenant);
    const seen = new Set(rows.map(({ epoch, seq }) => `${epoch} ${seq}`));
    const lasts = new Map<string, number>();
    for (const { epoch, seq } of rows) lasts.set(epoch, Math.max(seq, lasts.get(epoch) ?? 0));
    const all = [...lasts].flatMap(([epoch, last]) =>
      Array.from({ length: last }, (_, index) => `${epoch} ${index + 1}`),
    );
    return all.filter((place) => !seen.has(place));
  }

  /** The exposure of the running unit by `systemd-analyze security`; 10 is no sandbox at all. */
  async exposure(unit: string): Promise<number> {
    const said = await this.container.expect('systemd-analyze', 'security', '--no-pager', unit);
    return Number(/exposure level for .+: ([\d.]+)/.exec(said)?.[1]);
  }

  /** For a failing test: the unit's log. */
  journal(unit: string): Promise<string> {
    return this.container.expect('journalctl', '--no-pager', '--output=cat', '--unit', unit);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#site[Symbol.asyncDispose]();
  }
}
