import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { loadIdentity } from '../../src/identity/load-identity.ts';
import { AuditLog } from '../../src/audit/audit-log.ts';
import { auditHeadPath } from '../../src/audit/audit-head.ts';
import { auditDirectory } from '../../src/audit/audit-segment.ts';
import { filesOf } from '../../src/spool/storage/layout.ts';
import { runCommand } from '../support/daemon.ts';
import { createAuthority, writeIdentity } from '../support/pki.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });
const config = join(folder, 'merestone.yaml');
const directory = auditDirectory(join(folder, 'silos/north/acme/acme_1'));

before(async () => {
  const authority = await createAuthority('Tenant CA');
  const issued = await authority.issue({ organization: 'acme', commonName: 'acme_1' });
  const files = writeIdentity(folder, {
    certificate: issued.certificatePem,
    privateKey: issued.privateKeyPem,
    trust: authority.certificatePem,
  });
  writeFileSync(
    config,
    `stateDir: ${folder}
silos:
  - name: north
    identity: { certificate: ${files.certificate}, privateKey: ${files.privateKey}, trust: ${files.trust} }
    uplink: { url: mqtts://127.0.0.1:8883, ca: ${files.trust} }
`,
  );
  const origin = { tenant: 'acme', gateway: 'acme_1' };
  const log = AuditLog.open(directory, { origin, clock: systemClock, headFile: auditHeadPath(directory) });
  log.append('start', { version: '1.0.0', configSha256: 'ab', fingerprintSha256: 'cd' });
  log.append('quota', { quota: 'samples-per-second', limit: 2000, state: 'reached' });
  await log.sign(loadIdentity(files, Date.now()).signer);
  log.close();
});

describe('merestone audit', () => {
  it('shows the entries, and those of one kind', async () => {
    const { exitCode, stdout } = await runCommand(['audit', 'show', '--config', config]);
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /^north .*\n.*Z +1  segment .*\n.*Z +2  start  version=1\.0\.0 .*\n.*Z +3  quota .*\n/,
    );
    const some = await runCommand(['audit', 'show', directory, '--kind', 'quota', '--json']);
    const [line, ...more] = some.stdout.trim().split('\n');
    assert.equal(more.length, 0);
    const { entry } = JSON.parse(line!) as { entry: Record<string, unknown> };
    assert.equal(entry['limit'], 2000);
  });

  it('verifies by the trust of the configuration', async () => {
    const { exitCode, stdout } = await runCommand(['audit', 'verify', '--config', config]);
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /: good: tenant acme, gateway acme_1; 4 entries, 1 to 4; 1 signatures, up to 3, 0 after\n$/,
    );
  });

  it('reports what is wrong and where, and ends with 74', async () => {
    const path = join(directory, 'audit-000001.ndjson');
    const whole = readFileSync(path, 'utf8');
    writeFileSync(path, whole.replace('"limit":2000', '"limit":9000'));
    const { exitCode, stdout } = await runCommand(['audit', 'verify', '--config', config, '--json']);
    assert.equal(exitCode, 74);
    const { logs } = JSON.parse(stdout) as { logs: { findings: { line: number }[] }[] };
    assert.equal(logs[0]!.findings[0]!.line, 3);
    writeFileSync(path, whole);
  });

  it('says that the log of the configuration’s silo was removed, with its head or a spool beside it', async () => {
    const aside = `${directory}-aside`;
    const verify = async (): Promise<{ exitCode: number | null; stdout: string }> =>
      runCommand(['audit', 'verify', '--config', config]);
    renameSync(directory, aside);
    const head = auditHeadPath(directory);
    const known = readFileSync(head);
    const withHead = await verify();
    assert.equal(withHead.exitCode, 74);
    assert.match(withHead.stdout, /the log was removed or cut: entry 4 was written, and no entry is here/);
    rmSync(head);
    assert.equal((await verify()).exitCode, 0);
    const spool = filesOf(dirname(directory)).database;
    writeFileSync(spool, '');
    const withSpool = await verify();
    assert.equal(withSpool.exitCode, 74);
    assert.match(withSpool.stdout, /there is no log, and one belongs here/);
    rmSync(spool);
    writeFileSync(head, known);
    renameSync(aside, directory);
    assert.equal((await verify()).exitCode, 0);
  });

  it('reports a missing log', async () => {
    const { exitCode, stderr } = await runCommand(['audit', 'verify', join(folder, 'nowhere')]);
    assert.equal(exitCode, 66);
    assert.match(stderr, /nowhere: there is no such folder/);
  });
});
