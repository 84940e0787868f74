import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Consume } from '../support/consume.ts';
import { SealedStream } from '../support/sealed-stream.ts';
import type { Environment } from './attacks.ts';
import { Party } from './party.ts';
import { until } from '../support/until.ts';

const origin = { tenant: 'acme', gateway: 'acme_gw-0001' };
const root = 't/acme/acme_gw-0001';
const meta = {
  v: 1,
  ...origin,
  at: 0,
  version: '1.0.0',
  configSha256: 'a'.repeat(64),
  devices: [{ name: 'meter', points: [{ name: 'power', type: 'float32', unit: 'W' }] }],
};
const status = {
  v: 1,
  ...origin,
  online: true,
  since: 0,
  version: '1.0.0',
  epoch: '01JD3W5V2K0000000000000000',
};

/**
 * The gateway was online long before `consume` subscribes, so its `meta` and `status` are retained. Returns the units of
 * the rows, from the first batch on, and the kinds of the notices.
 */
export async function unitsOfLateConsumer(
  environment: Environment,
): Promise<{ units: unknown[]; kinds: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'merestone-late-consumer-'));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const stream = new SealedStream(origin).appendMany(40);
  using gateway = (await Party.connect(environment, environment.acme1, { clientId: origin.gateway }))!;
  await gateway.publish(`${root}/meta`, JSON.stringify(meta), true);
  await gateway.publish(`${root}/status`, JSON.stringify(status), true);
  const words = {
    url: `mqtts://localhost:${environment.port}`,
    ca: file('ca.crt', environment.ca),
    certificate: file('backend.crt', environment.backend.certificatePem),
    'private-key': file('backend.key', environment.backend.privateKeyPem),
    protocol: environment.protocolVersion === 5 ? '5' : '3.1.1',
  };
  const consume = new Consume(Object.entries(words).flatMap(([name, value]) => [`--${name}`, value]));
  try {
    await consume.connected();
    for (let seq = 1; seq <= stream.seq; seq += 1) {
      await gateway.publish(`${root}/telemetry`, stream.payload(seq).toString());
      await until(() => consume.rows.some((row) => row.seq === seq), `batch ${seq}`);
    }
    await until(() => consume.notice('online'), 'it knows that the gateway is online');
    assert.equal(await consume.end(), 0);
    const units = consume.rows.filter(({ point }) => point === 'power').map(({ unit }) => unit);
    return { units, kinds: consume.kinds() };
  } finally {
    if (consume.child.exitCode === null) await consume.end('SIGKILL');
    // Leaves nothing retained for the attacks that follow.
    await gateway.publish(`${root}/meta`, '', true);
    await gateway.publish(`${root}/status`, '', true);
    rmSync(folder, { recursive: true, force: true });
  }
}
