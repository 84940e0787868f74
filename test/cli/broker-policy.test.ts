import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runCommand, type CommandResult } from '../support/daemon.ts';
import { createAuthority } from '../support/pki.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });
const fleet = join(folder, 'fleet');
const colliding = join(folder, 'colliding');
const output = join(folder, 'policy');

before(async () => {
  const authority = await createAuthority('Fleet CA');
  const write = async (place: string, tenant: string | undefined, commonName: string, notAfter?: number) => {
    const organization = tenant === undefined ? {} : { organization: tenant };
    const spiffe = `spiffe://edge.example/tenant/${tenant ?? 'none'}/gateway/${commonName}`;
    const time = notAfter === undefined ? {} : { notAfter };
    const issued = await authority.issue({ commonName, spiffe, ...organization, ...time });
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, `${tenant ?? 'none'}-${commonName}.crt`), issued.certificatePem);
    writeFileSync(join(place, `${tenant ?? 'none'}-${commonName}.pem`), issued.privateKeyPem);
  };
  await write(fleet, 'acme', 'acme_gw-0001');
  await write(fleet, 'globex', 'globex_gw-0001');
  await write(fleet, 'globex', 'globex_gw-0000', Date.now() - 1000);
  await write(fleet, undefined, 'backend');
  writeFileSync(join(fleet, 'ca.pem'), authority.certificatePem);
  await write(colliding, 'acme', 'gw-1');
  await write(colliding, 'globex', 'gw-1');
  await write(colliding, 'globex', 'backend');
});

function policy(broker: string, ...words: string[]): Promise<CommandResult> {
  return runCommand([
    'broker-policy',
    '--broker',
    broker,
    '--certificates',
    fleet,
    '--backend',
    'backend',
    ...words,
  ]);
}

describe('merestone broker-policy', () => {
  it('prints an ACL file for Mosquitto, and leaves out certificates that name no gateway now', async () => {
    const { exitCode, stdout, stderr } = await policy('mosquitto');
    assert.equal(exitCode, 0, stderr);
    const rules = stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    assert.deepEqual(rules, [
      'user acme_gw-0001',
      ...['telemetry', 'status', 'meta', 'event'].map((of) => `topic write t/acme/acme_gw-0001/${of}`),
      'topic readwrite t/acme/acme_gw-0001/checkpoint',
      'topic readwrite t/acme/acme_gw-0001/canary',
      'user globex_gw-0001',
      ...['telemetry', 'status', 'meta', 'event'].map((of) => `topic write t/globex/globex_gw-0001/${of}`),
      'topic readwrite t/globex/globex_gw-0001/checkpoint',
      'topic readwrite t/globex/globex_gw-0001/canary',
      'user backend',
      'topic read t/#',
    ]);
    assert.match(stdout, /^# use_identity_as_username true$/m);
    assert.match(stderr, /ca\.pem: left out: a CA's certificate/);
    assert.match(stderr, /globex_gw-0000\.crt: left out: its time is over/);
  });

  it('identifies clients by their subjects if Mosquitto is configured so', async () => {
    const { stdout } = await policy('mosquitto', '--by', 'subject');
    assert.match(stdout, /^# use_subject_as_username true$/m);
    assert.match(stdout, /^user CN=acme_gw-0001,O=acme$/m);
    assert.equal((await policy('nats', '--by', 'subject')).exitCode, 64);
  });

  it('writes files that name each other’s place on the broker', async () => {
    const { exitCode, stdout } = await policy('rabbitmq', '--output', output);
    assert.equal(exitCode, 0);
    assert.equal(stdout, '');
    assert.deepEqual(readdirSync(output).sort(), ['rabbitmq-definitions.json', 'rabbitmq.conf']);
    const settings = readFileSync(join(output, 'rabbitmq.conf'), 'utf8');
    assert.ok(settings.includes(`load_definitions = ${output}/rabbitmq-definitions.json`));
  });

  it('refuses names that a broker cannot tell apart, and writes nothing', async () => {
    for (const broker of ['mosquitto', 'rabbitmq']) {
      const { exitCode, stdout, stderr } = await policy(broker, '--certificates', colliding);
      assert.equal(exitCode, 78, broker);
      assert.equal(stdout, '');
      assert.match(stderr, /CN 'gw-1' stands for gateways of several tenants \(acme, globex\)/);
      assert.match(stderr, /CN 'backend' is a backend's too/);
    }
  });

  it('refuses a certificate that does not chain to the CAs given', async () => {
    const trust = join(folder, 'other-ca.crt');
    writeFileSync(trust, (await createAuthority('Other CA')).certificatePem);
    const { exitCode, stderr } = await policy('emqx', '--trust', trust);
    assert.equal(exitCode, 78);
    assert.match(stderr, /acme_gw-0001\.crt: it was issued by 'CN=Fleet CA'/);
  });

  it('writes what EMQX, AWS and Azure document', async () => {
    const emqx = (await policy('emqx')).stdout;
    assert.match(
      emqx,
      /^\{allow, \{username, "acme_gw-0001"\}, subscribe, \[\{eq, "t\/acme\/acme_gw-0001\/canary"\}, \{eq, "t\/acme\/acme_gw-0001\/checkpoint"\}\]\}\.$/m,
    );
    assert.ok(emqx.endsWith('{deny, all}.\n'));
    const aws = JSON.parse((await policy('aws-iot')).stdout) as {
      Resources: Record<string, { Type: string }>;
    };
    const types = Object.values(aws.Resources).map(({ Type }) => Type);
    assert.equal(types.filter((type) => type === 'AWS::IoT::Certificate').length, 3);
    const azure = JSON.parse((await policy('azure-event-grid')).stdout) as { resources: { type: string }[] };
    const clients = azure.resources.filter(({ type }) => type === 'Microsoft.EventGrid/namespaces/clients');
    assert.equal(clients.length, 3);
  });

  it('is one JSON document with --json', async () => {
    const { stdout } = await policy('nats', '--json');
    const { broker, gateways } = JSON.parse(stdout) as { broker: string; gateways: unknown };
    assert.equal(broker, 'nats');
    assert.deepEqual(gateways, [
      { tenant: 'acme', gateway: 'acme_gw-0001' },
      { tenant: 'globex', gateway: 'globex_gw-0001' },
    ]);
  });
});
