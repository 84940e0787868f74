import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import type { GatewayStatus } from '../../src/status/status.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { type Daemon, eventually, runCommand } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { Site, siloEntry } from '../support/site.ts';

/** A configuration with HTTP at `listen`, one silo and one device. */
async function configure(site: Site, brokerUrl: string, port: number, listen: string): Promise<void> {
  await writeFile(
    site.config,
    `stateDir: ./state
control: { socket: ${site.controlSocket} }
http: { listen: '${listen}' }
silos:
${siloEntry('north', brokerUrl)}${plantBus(port)}devices:
${plantDevice('unit', 1, 'north')}`,
  );
}

function untilListens(daemon: Daemon): Promise<number> {
  return eventually('the port in the log', () => {
    const line = daemon.log.find(({ event }) => event === 'http listens');
    return line?.['port'] as number | undefined;
  });
}

describe('a daemon with http.listen', () => {
  it('serves health, metrics, status and its page, and frees the port when it stops', async () => {
    const authority = await createAuthority('Test CA');
    await using broker = await Mosquitto.start({ authority });
    await using site = await Site.create(authority);
    await site.issueGateway('north', 'acme');
    await site.issueBackend();
    await configure(site, broker.url, await startPlantProcess(site, 1), '127.0.0.1:0');
    const daemon = site.startDaemon();
    const base = `http://127.0.0.1:${await untilListens(daemon)}`;

    await eventually('good health', async () => (await fetch(`${base}/healthz`)).status === 200);
    const status = (await (await fetch(`${base}/api/status`)).json()) as GatewayStatus;
    assert.deepEqual(
      status.silos.map(({ name, tenant, state }) => [name, tenant, state]),
      [['north', 'acme', 'running']],
    );
    assert.deepEqual(Object.keys(status), Object.keys(await daemon.status()));
    const metrics = await (await fetch(`${base}/metrics`)).text();
    assert.match(metrics, /^merestone_silo_running\{tenant="acme",silo="north"\} 1$/m);
    assert.match(metrics, /^merestone_device_up\{tenant="acme",silo="north",bus="plant",device="unit"\} 1$/m);
    const page = await fetch(`${base}/`);
    assert.match(page.headers.get('content-type')!, /^text\/html/);
    assert.match(await page.text(), /<title>.*Merestone/i);

    await broker.stop();
    const health = async (code: number): Promise<boolean> => {
      const answer = await fetch(`${base}/healthz`);
      return answer.status === code && /its uplink is/.test(await answer.text());
    };
    await eventually('a reason', () => health(200));
    await eventually('bad health', () => health(503), 60_000);
    assert.equal(await daemon.stop(), 0);
    await assert.rejects(fetch(`${base}/healthz`));
  });

  it('serves them at a Unix socket, logs which, and removes it when it stops', async () => {
    const authority = await createAuthority('Test CA');
    await using site = await Site.create(authority);
    await site.issueGateway('north', 'acme');
    await configure(site, 'mqtts://localhost:1', 1, './http.sock');
    const daemon = site.startDaemon();
    const socketPath = site.path('http.sock');
    const said = await eventually('the socket in the log', () =>
      daemon.log.find(({ event }) => event === 'http listens'),
    );
    assert.equal(said['socket'], socketPath);
    await eventually('an answer', async () => {
      const request = get({ socketPath, path: '/metrics' });
      const [response] = await once(request, 'response');
      return /^merestone_silo_running\{tenant="acme"/m.test(await text(response));
    });
    assert.equal(await daemon.stop(), 0);
    assert.equal(existsSync(socketPath), false);
  });

  it('ends with 74 and a clear message if it cannot listen, and leaves nothing open', async () => {
    const authority = await createAuthority('Test CA');
    await using site = await Site.create(authority);
    await site.issueGateway('north', 'acme');
    const other = createServer().listen(0, '127.0.0.1');
    site.cleanUp(() => other.close());
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    await configure(site, 'mqtts://localhost:1', 1, `127.0.0.1:${port}`);
    const { exitCode, stderr } = await runCommand(['run', '--config', site.config]);
    assert.equal(exitCode, 74);
    assert.equal(
      stderr,
      `merestone: 127.0.0.1:${port}: http cannot listen: another program listens there; choose another http.listen (E105)\n`,
    );
    const status = await runCommand(['status', '--config', site.config]);
    assert.equal(status.exitCode, 69);
  });
});
