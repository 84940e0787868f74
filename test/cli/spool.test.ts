import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { loadKeyWrapper } from '../../src/identity/key-encryption-key.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openAuditSeal } from '../../src/audit/audit-key.ts';
import { AuditLog } from '../../src/audit/audit-log.ts';
import { auditDirectory } from '../../src/audit/audit-segment.ts';
import type { Spool } from '../../src/spool/spool.ts';
import { openTestSpool, testSample } from '../support/spool.ts';
import { drain } from '../support/spool-damage.ts';
import { runCommand } from '../support/daemon.ts';
import { createAuthority, writeIdentity } from '../support/pki.ts';
import { owned } from '../support/owned-origin.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });
const config = join(folder, 'merestone.yaml');
const origin = owned({ tenant: 'acme', gateway: 'acme_1' });
const directory = join(folder, 'silos/north/acme/acme_1');

async function open(): Promise<Spool> {
  return openTestSpool(directory, {}, { origin, keys: await loadKeyWrapper(directory) });
}

const spoolCommand = (...words: string[]): ReturnType<typeof runCommand> =>
  runCommand(['spool', ...words, '--config', config]);

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
});

describe('merestone spool', () => {
  it('reports a missing spool', async () => {
    const { exitCode, stderr } = await spoolCommand('stats');
    assert.equal(exitCode, 66);
    assert.match(stderr, /there is no spool yet/);
  });

  it('reports a spool that the daemon has open', async () => {
    const spool = await open();
    for (let ts = 1; ts <= 5; ts += 1) spool.enqueue([testSample(ts), testSample(ts)]);
    const { exitCode, stderr } = await spoolCommand('verify');
    assert.equal(exitCode, 69);
    assert.match(stderr, /another process has this spool open; stop the daemon/);
    spool.close();
  });

  it('counts what waits', async () => {
    const { exitCode, stdout } = await spoolCommand('stats');
    assert.equal(exitCode, 0);
    assert.match(stdout, /tenant acme, gateway acme_1 {2}silo north/);
    assert.match(stdout, /waiting {6}5 batches with 10 samples, 1 events/);
    const { spools } = JSON.parse((await spoolCommand('stats', '--json')).stdout) as { spools: object[] };
    assert.partialDeepStrictEqual(spools, [{ ...origin, authentic: true, seq: 5, batches: 5, samples: 10 }]);
  });

  it('exports escaped text to a terminal, and the sealed bytes to a file', async () => {
    const evil = 'a\u009b2J\u2028\u202e\u001b[2J';
    const owner = join(folder, 'evil/acme/acme_1');
    const spool = await openTestSpool(owner, {}, { origin, keys: await loadKeyWrapper(owner) });
    spool.enqueue([{ ts: 1, json: JSON.stringify({ device: 'meter', ts: 1, values: { text: evil } }) }]);
    spool.close();
    const words = ['spool', 'export', owner];
    const { stdout } = await runCommand(words);
    assert.ok(stdout.includes('\u009b'), 'as it was sealed');
    const program = join(import.meta.dirname, '../../src/cli/merestone.js');
    const line = [process.execPath, program, ...words].map((word) => `'${word}'`).join(' ');
    const options = { encoding: 'utf8', timeout: 60_000 } as const;
    const shown = spawnSync('script', ['-qec', line, '/dev/null'], options).stdout;
    assert.match(shown, /\\u009b2J\\u2028\\u202e/);
    assert.doesNotMatch(shown.replaceAll(/[\r\n]/g, ''), /[\p{Cc}\p{Cf}\u2028\u2029]/u);
    const batch = shown.split('\r\n').find((each) => each.startsWith('{'))!;
    assert.deepEqual(JSON.parse(batch), JSON.parse(stdout));
  });

  it('exports the payloads as they are sent, and logs that in the audit log', async () => {
    const { exitCode, stdout } = await spoolCommand('export');
    assert.equal(exitCode, 0);
    const lines = stdout.trim().split('\n');
    const seqs = lines.map((line) => (JSON.parse(line) as { seq: number }).seq);
    assert.deepEqual(seqs, [1, 2, 3, 4, 5]);
    const audit = await runCommand(['audit', 'show', '--config', config]);
    assert.match(audit.stdout, /export +by=\S+ +epoch=\S+ +seqFrom=1 +seqTo=5 +batches=5/);
  });

  it('verifies good batches, and names damaged ones', async () => {
    const { exitCode, stdout } = await spoolCommand('verify');
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /good: tenant acme, gateway acme_1; 5 batches with 10 samples/);
    const spool = await open();
    spool.note({ kind: 'quota', quota: 'x', limit: 1, state: 'reached' });
    const { epoch } = spool;
    spool.close();
    const file = join(directory, 'spool.sqlite');
    const sound = readFileSync(file);
    const database = new Database(file);
    database.exec('UPDATE batch SET samples = 3 WHERE position % 1099511627776 = 2');
    database.exec('DELETE FROM batch WHERE position % 1099511627776 = 4');
    database.close();
    const bad = await spoolCommand('verify');
    assert.equal(bad.exitCode, 74);
    assert.match(bad.stdout, new RegExp(`batch ${epoch}/2: does not authenticate`));
    assert.match(bad.stdout, new RegExp(`batch ${epoch}/4: is not there, though the ledger has it`));
    assert.equal(bad.stdout.trim().split('\n').length, 3);
    const cut = sound.subarray(0, sound.length - 4096);
    writeFileSync(file, cut);
    const broken = await spoolCommand('verify');
    assert.equal(broken.exitCode, 74);
    assert.match(broken.stdout + broken.stderr, /the spool is damaged/);
    assert.deepEqual(readFileSync(file), cut, 'nothing was changed or moved');
    writeFileSync(file, sound);
    assert.equal((await spoolCommand('verify')).exitCode, 0);
  });

  it('rekeys to the first key-encryption key, so that the previous one may be deleted', async () => {
    const keyFile = join(directory, 'key-encryption-key.pem');
    const before = readFileSync(keyFile, 'utf8');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const next = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    writeFileSync(keyFile, next + before);
    const { exitCode, stdout } = await spoolCommand('rekey');
    assert.equal(exitCode, 0);
    assert.match(stdout, /1 data keys wrapped to /);
    writeFileSync(keyFile, next);
    assert.equal((await spoolCommand('verify')).exitCode, 0);
    writeFileSync(keyFile, before);
    const { exitCode: without, stderr } = await spoolCommand('verify');
    assert.equal(without, 77);
    assert.match(stderr, /does not open/);
    const { spools } = JSON.parse((await spoolCommand('stats', '--json')).stdout) as { spools: object[] };
    assert.partialDeepStrictEqual(spools, [{ ...origin, authentic: false, seq: 5 }]);
    writeFileSync(keyFile, next);
  });

  it('opens a folder by its place in the configuration, and a copy by the key that --keys names', async () => {
    const copy = join(folder, 'copy');
    const keys = join(folder, 'keys/north/acme/acme_1');
    cpSync(directory, copy, { recursive: true });
    mkdirSync(keys, { recursive: true });
    const [at, apart] = [directory, keys].map((each) => join(each, 'key-encryption-key.pem')) as [
      string,
      string,
    ];
    renameSync(at, apart);
    rmSync(join(copy, 'key-encryption-key.pem'));
    assert.equal((await spoolCommand('verify', directory)).exitCode, 0);
    assert.equal((await spoolCommand('verify')).exitCode, 0);
    const faulty = join(folder, 'faulty.yaml');
    writeFileSync(faulty, 'silos: none\n');
    for (const file of [config, faulty, join(folder, 'none.yaml')]) {
      const by = (...more: string[]) => runCommand(['spool', 'verify', copy, '--config', file, ...more]);
      const { exitCode, stderr } = await by();
      assert.equal(exitCode, 77, file);
      assert.match(stderr, /the key-encryption key is not here|does not open/);
      assert.equal((await by('--keys', keys)).exitCode, 0, file);
    }
    renameSync(apart, at);
    rmSync(copy, { recursive: true });
  });

  it('makes no key in place of a lost one, and changes nothing', async () => {
    const keyFile = join(directory, 'key-encryption-key.pem');
    const key = readFileSync(keyFile);
    rmSync(keyFile);
    const before = readdirSync(directory).sort();
    for (const command of ['verify', 'rekey', 'export']) {
      const { exitCode, stderr } = await spoolCommand(command);
      assert.equal(exitCode, 77, command);
      assert.match(stderr, /does not open|is not here/, command);
      assert.deepEqual(readdirSync(directory).sort(), before, command);
    }
    const { spools } = JSON.parse((await spoolCommand('stats', '--json')).stdout) as { spools: object[] };
    assert.partialDeepStrictEqual(spools, [{ ...origin, authentic: false }]);
    assert.deepEqual(readdirSync(directory).sort(), before);
    writeFileSync(keyFile, key, { mode: 0o600 });
    assert.equal((await spoolCommand('verify')).exitCode, 0);
  });

  it('shreds only after confirmation, with an audit entry and a report for the cloud', async () => {
    const log = auditDirectory(directory);
    const seal = await openAuditSeal(log, await loadKeyWrapper(directory), origin);
    const audited = AuditLog.open(log, { origin, clock: systemClock, seal });
    const changed = {
      configSha256: 'ab',
      previousConfigSha256: null,
      changes: ['devices.boiler'],
      by: 'root',
    };
    audited.append('configuration', changed);
    audited.close();
    const show = ['audit', 'show', '--kind', 'configuration', '--config', config];
    const named = await runCommand(show);
    assert.match(named.stdout, /configuration +changes="\[\\"devices\.boiler\\"\]"/);
    assert.equal(named.stderr, '');
    const { exitCode, stderr } = await spoolCommand('shred');
    assert.equal(exitCode, 64);
    assert.match(stderr, /would destroy 5 batches that wait of tenant acme/);
    mkdirSync(join(directory, 'building'));
    const { exitCode: done } = await spoolCommand('shred', '--yes');
    assert.equal(done, 0);
    const left = readdirSync(directory).sort();
    assert.deepEqual(left, ['audit', 'key-encryption-key.pem', 'spool.lock', 'spool.witness']);
    const audit = await runCommand(['audit', 'show', '--config', config]);
    const nameless = await runCommand(show);
    assert.match(nameless.stdout, /configuration +sealed=\S+ +configSha256=ab/);
    assert.doesNotMatch(nameless.stdout, /boiler/);
    assert.match(nameless.stderr, /names in it are sealed, and no key here opens them/);
    assert.deepEqual(readdirSync(log), ['audit-000001.ndjson']);
    assert.match(audit.stdout, /shred +by=\S+ +epoch=\S+ +batches=5 +samples=10/);
    assert.equal((await runCommand(['audit', 'verify', '--config', config])).exitCode, 0);
    const spool = await open();
    const { delivered, events } = drain(spool);
    spool.close();
    assert.equal(delivered.size, 0);
    const begun = events.at(-1);
    assert.partialDeepStrictEqual(events[0], { kind: 'dropped', seqFrom: 1, seqTo: 5 });
    assert.partialDeepStrictEqual(begun, { kind: 'epoch-started', reason: 'the spool was shredded' });
    assert.ok(existsSync(join(directory, 'spool.sqlite')));
  });
});
