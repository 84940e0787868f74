import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { connectAsync } from 'mqtt';
import type { Client } from 'pg';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { eventually } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { Postgres } from '../support/postgres.ts';
import { firstTs, SealedStream } from '../support/sealed-stream.ts';
import { Site, siloEntry } from '../support/site.ts';

const schema = readFileSync(join(import.meta.dirname, '../../config/postgres.sql'), 'utf8');
const tenants = ['acme', 'beta'];

/** Five times what a consumer may have in memory. */
const floodBatches = 400;
const floodBatchBytes = 400_000;

describe('a backend whose PostgreSQL hangs and dies', () => {
  it('acknowledges only stored batches, and has every batch once afterwards', async () => {
    const authority = await createAuthority('Test CA');
    // Each packet is a line of its log.
    await using broker = await Mosquitto.start({
      authority,
      config: ['log_type debug', 'max_inflight_messages 0'],
    });
    await using postgres = await Postgres.start();
    await using site = await Site.create(authority);
    const admin = await postgres.connect('postgres', 'secret');
    await admin.query(`${schema}; CREATE ROLE writer LOGIN PASSWORD 'w';
      GRANT USAGE ON SCHEMA merestone TO writer; GRANT INSERT ON merestone.reading TO writer`);
    await admin.end();
    const port = await startPlantProcess(site, 2);
    for (const tenant of tenants) await site.issueGateway(tenant, tenant);
    await site.issueBackend();
    await site.configure(`silos:
${tenants.map((tenant) => `${siloEntry(tenant, broker.url)}    batch: { linger: 50ms }\n`).join('')}
${plantBus(port)}devices:
${tenants.map((tenant, index) => plantDevice(`unit-${index}`, index + 1, tenant)).join('')}`);
    const words = ['--postgres', postgres.url('writer', 'w')];
    const consumer = site.startConsumer(broker.url, ...words);
    const daemon = site.startDaemon();

    const notices = (kind: string): string[] =>
      consumer.stderr.split('\n').filter((line) => line.includes(`"kind":"${kind}"`));
    const pubacks = (): number => broker.log.split('Received PUBACK from backend').length - 1;
    const published = (tenant: string): number =>
      broker.log.split(`Received PUBLISH from ${tenant}_gw`).length - 1;
    const slower = (): number => Math.min(...tenants.map(published));
    /** The gateways go on, and the consumer sends the broker nothing meanwhile. */
    const heldBack = async (round: number): Promise<void> => {
      await eventually('it is told', () => notices('database-away').length === round);
      // Earlier packets are in the broker's log before the ones that follow.
      const told = slower();
      await eventually('the broker goes on', () => slower() > told + 4);
      const before = pubacks();
      const heard = slower();
      await eventually('the broker takes more', () => slower() > heard + 8);
      assert.equal(pubacks(), before);
    };

    await eventually('rows', () => pubacks() > 20);
    postgres.freeze();
    await heldBack(1);
    const rssBefore = residentBytes(consumer.pid);
    await flood(broker);
    const grownBytes = residentBytes(consumer.pid) - rssBefore;
    assert.ok(grownBytes < 110e6, `${grownBytes} bytes more`);
    postgres.thaw();
    await eventually('it goes on', () => notices('database-back').length === 1);
    await postgres.kill();
    await heldBack(2);
    await postgres.startAgain();
    await eventually('it goes on', () => notices('database-back').length === 2);

    const { silos } = await daemon.status();
    assert.equal(await daemon.stop(), 0);
    const reader = await postgres.connect('postgres', 'secret');
    for (const tenant of tenants) {
      const sealed = silos.find((silo) => silo.tenant === tenant)!.spool!.seq;
      const found = await eventually(`all of ${tenant}`, async () => {
        const all = await batchesOf(reader, tenant);
        return all.length >= sealed && all;
      });
      assert.deepEqual(found, upTo(found.length), 'a hole in seq');
    }
    await eventually(
      'all of the flood',
      async () => (await batchesOf(reader, 'gamma')).length === floodBatches,
    );
    await reader.end();
    assert.equal(await consumer.stop(), 0);
    assert.match(notices('database-away')[0]!, /PostgreSQL takes no rows \(it does not answer\)/);
    assert.match(
      notices('database-away')[1]!,
      /PostgreSQL takes no rows \(.+\): messages are held back, not acknowledged/,
    );
    assert.doesNotMatch(consumer.stderr, /"kind":"(overrun|gap|waiting)"|"severity":"security"/);
  });
});

/** Batches of another gateway, while nothing is written. */
async function flood(broker: Mosquitto): Promise<void> {
  const own = await broker.authority.issue({ organization: 'gamma', commonName: 'gamma_gw-0001' });
  const client = await connectAsync(broker.url, {
    ca: broker.authority.certificatePem,
    cert: own.certificatePem,
    key: own.privateKeyPem,
  });
  const stream = new SealedStream({ tenant: 'gamma', gateway: 'gamma_gw-0001' });
  const text = 'x'.repeat(4000);
  const points = Array.from({ length: floodBatchBytes / text.length }, (_, index) => [`p${index}`, text]);
  for (let seq = 1; seq <= floodBatches; seq++) {
    stream.append([
      { device: 'meter', ts: firstTs + seq, values: Object.fromEntries(points) as Record<string, string> },
    ]);
    await client.publishAsync('t/gamma/gamma_gw-0001/telemetry', stream.payload(seq), { qos: 1 });
    stream.payloads[seq - 1] = Buffer.alloc(0);
  }
  await client.endAsync();
}

async function batchesOf(reader: Client, tenant: string): Promise<number[]> {
  const { rows } = await reader.query<{ seq: number }>(
    'SELECT DISTINCT seq::int FROM merestone.reading WHERE tenant = $1 ORDER BY 1',
    [tenant],
  );
  return rows.map(({ seq }) => seq);
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kilobytes) * 1024;
}
