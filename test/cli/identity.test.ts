import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IdentityOptions } from '../../src/identity/options.ts';
import { runCommand } from '../support/daemon.ts';
import { createAuthority, writeIdentity } from '../support/pki.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });
const config = join(folder, 'merestone.yaml');
let files: IdentityOptions;

before(async () => {
  const authority = await createAuthority('Tenant CA');
  const issued = await authority.issue({ organization: 'acme', commonName: 'gw-1' });
  files = writeIdentity(folder, {
    certificate: issued.certificatePem,
    privateKey: issued.privateKeyPem,
    trust: authority.certificatePem,
  });
  const other = await authority.issue({ organization: 'globex', commonName: 'globex_1' });
  writeFileSync(join(folder, 'south.crt'), other.certificatePem);
  const silos = [siloWith('north', files), siloWith('south', { ...files, ...south })];
  writeFileSync(config, `stateDir: ${folder}\nsilos:\n${silos.join('')}`);
});

const south = { certificate: './south.crt', privateKey: './missing.key' };

function siloWith(silo: string, { certificate, privateKey, trust }: IdentityOptions): string {
  return `  - name: ${silo}
    identity: { certificate: ${certificate}, privateKey: ${privateKey}, trust: ${trust} }
    uplink: { url: mqtts://127.0.0.1:8883, ca: ${trust} }
`;
}

describe('merestone identity', () => {
  it('shows each silo, and ends with 78 where one is not good', async () => {
    const { exitCode, stdout } = await runCommand(['identity', 'show', '--config', config]);
    assert.equal(exitCode, 78);
    assert.match(stdout, /^north\n(.*\n)*?  tenant +acme\n  gateway +gw-1\n/);
    assert.match(stdout, /  warning +CN 'gw-1' does not begin with 'acme_'/);
    assert.match(stdout, /  verified +yes\n/);
    assert.match(stdout, /^south\n(.*\n)*?  fault .*missing\.key: there is no private key here/m);
  });

  it('shows one silo as JSON', async () => {
    const words = ['identity', 'show', '--config', config, '--silo', 'north', '--json'];
    const { exitCode, stdout } = await runCommand(words);
    assert.equal(exitCode, 0);
    const [shown] = (JSON.parse(stdout) as { identities: Record<string, unknown>[] }).identities;
    assert.equal(shown!['tenant'], 'acme');
    assert.equal(shown!['verified'], true);
    assert.deepEqual(shown!['chain'], ["'O=acme, CN=gw-1'", "'CN=Tenant CA'"]);
  });

  it('shows any certificate, also one of another tenant', async () => {
    const { exitCode, stdout } = await runCommand(['identity', 'show', '--certificate', files.trust]);
    assert.equal(exitCode, 78);
    assert.match(stdout, /fault +.*the subject has no O/);
  });

  it('asks for a silo if there are several', async () => {
    const words = ['identity', 'request', '--config', config, '--tenant', 'acme', '--gateway', 'acme_2'];
    const { exitCode, stderr } = await runCommand(words);
    assert.equal(exitCode, 64);
    assert.match(stderr, /--silo: north, south/);
  });

  it('makes a key that only its owner can read, and never overwrites one', async () => {
    const key = join(folder, 'new.key');
    const words = ['identity', 'request', '--tenant', 'acme', '--gateway', 'acme_2', '--private-key', key];
    const { exitCode, stdout } = await runCommand(words);
    assert.equal(exitCode, 0);
    assert.match(stdout, /^-----BEGIN CERTIFICATE REQUEST-----\n/);
    assert.equal(statSync(key).mode & 0o777, 0o600);
    const again = await runCommand(words);
    assert.equal(again.exitCode, 74);
    assert.match(again.stderr, /there is a file already/);
  });

  it('installs by the configuration', async () => {
    const words = ['identity', 'install', files.certificate, '--config', config, '--silo', 'north'];
    const { exitCode, stdout, stderr } = await runCommand(words);
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /gateway\.crt: tenant acme, gateway gw-1, valid to 20/);
  });

  it('names a wrong argument', async () => {
    for (const words of [['identity'], ['identity', 'bake'], ['identity', 'install']]) {
      assert.equal((await runCommand(words)).exitCode, 64, words.join(' '));
    }
  });
});
