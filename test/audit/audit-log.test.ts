import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import fc from 'fast-check';
import { parseCertificate, type Certificate } from '../../src/identity/certificate.ts';
import { loadIdentity } from '../../src/identity/load-identity.ts';
import type { Signer } from '../../src/identity/signer.ts';
import { AuditLog, type AuditLimits } from '../../src/audit/audit-log.ts';
import type { AuditEntry } from '../../src/audit/audit-entry.ts';
import { decodeEntry } from '../../src/audit/audit-entry.ts';
import { verifyAudit, type AuditVerificationResult } from '../../src/audit/audit-verification.ts';
import { chainNext } from '../../src/messages/hash-chain.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { makeAuthority, makeCertificate, name, writeIdentity } from '../support/pki.ts';
import type { Holder } from '../support/pki.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const origin = { tenant: 'acme', gateway: 'acme_gw-0001' };
const keys = temporaryDirectory({ after });
let anchors: Certificate[];
let root: Holder;
let signer: Signer;
let otherUser: Signer;
let directory: string;

async function signerOf(tenant: string, gateway: string, authority: Holder): Promise<Signer> {
  const { certificatePem, privateKeyPem } = await makeCertificate(
    { subject: name({ O: tenant }, { CN: gateway }) },
    authority,
  );
  const files = { certificate: certificatePem, privateKey: privateKeyPem, trust: authority.certificatePem };
  return loadIdentity(writeIdentity(keys, files), Date.now()).signer;
}

before(async () => {
  root = await makeAuthority();
  anchors = [parseCertificate(root.der, 'ca.crt')];
  signer = await signerOf('acme', 'acme_gw-0001', root);
  otherUser = await signerOf('globex', 'globex_gw-0001', root);
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'merestone-audit-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function open(limits?: AuditLimits): AuditLog {
  return AuditLog.open(directory, { origin, clock: new FakeClock(), ...(limits && { limits }) });
}

function quota(log: AuditLog, limit: number): AuditEntry {
  return log.append('quota', { quota: 'samples-per-second', limit, state: 'reached' });
}

const file = (number = 1): string => join(directory, `audit-00000${number}.ndjson`);
const linesOf = (number = 1): string[] => readFileSync(file(number), 'utf8').split('\n').slice(0, -1);
const faultsOf = ({ findings }: AuditVerificationResult): string[] =>
  findings.filter(({ severity }) => severity === 'fault').map(({ line, message }) => `${line}: ${message}`);

/** A log of a header, nine entries, a signature over them and two more entries. */
async function exampleLog(): Promise<string[]> {
  const log = open();
  for (let limit = 2; limit <= 10; limit++) quota(log, limit);
  await log.sign(signer);
  log.append('refused-request', { by: 'mallory', method: 'spool shred', reason: 'Zähler “north”' });
  log.append('stop', { reason: 'SIGTERM' });
  log.close();
  return linesOf();
}

describe('audit log', () => {
  it('stays valid with any text in an entry', async () => {
    const log = open();
    const method = 'a\u2028b\u2029c\u0085d\n{"chain":"e"}\u0000';
    log.append('refused-request', { by: 'mallory', method, reason: '","chain":"' + 'ab'.repeat(32) + '"}' });
    log.close();
    const reopened = open();
    reopened.append('stop', { reason: 'SIGTERM' });
    reopened.close();
    assert.deepEqual(faultsOf(await verifyAudit(directory)), []);
    const entries = linesOf().map((line) => decodeEntry(Buffer.from(line))?.entry);
    assert.deepEqual(
      entries.map((entry) => entry?.kind),
      ['segment', 'refused-request', 'stop'],
    );
    assert.equal(entries[1]!['method'], method);
  });

  it('keeps entries over restarts in one signed chain', async () => {
    const log = open();
    const entry = log.append('start', { version: '1.2.3', configSha256: 'ab', fingerprintSha256: 'cd' });
    assert.deepEqual(
      { ...entry, chain: undefined },
      {
        at: Date.UTC(2026, 10, 22),
        seq: 2,
        kind: 'start',
        version: '1.2.3',
        configSha256: 'ab',
        fingerprintSha256: 'cd',
        chain: undefined,
      },
    );
    assert.equal(await log.sign(signer), true);
    assert.equal(await log.sign(signer), false, 'a signature alone calls for no other');
    log.close();
    const again = open();
    assert.equal(await again.sign(signer), false);
    assert.equal(quota(again, 1).seq, 4);
    assert.equal(await again.sign(signer), true);
    again.close();
    const { findings, ...figures } = await verifyAudit(directory, anchors);
    assert.deepEqual(findings, []);
    assert.deepEqual(figures, {
      good: true,
      ...origin,
      segments: 1,
      entries: 5,
      seqFrom: 1,
      seqTo: 5,
      signatures: 2,
      signedSeq: 4,
      unsigned: 0,
    });
  });

  it('has a chain that can be recomputed from its lines alone', () => {
    const log = open();
    quota(log, 7);
    log.close();
    let chain = Buffer.alloc(32);
    for (const line of linesOf()) {
      const body = line.replace(/,"chain":"[0-9a-f]{64}"\}$/, '}');
      chain = Buffer.from(chainNext(chain, Buffer.from(body)));
      assert.equal((JSON.parse(line) as AuditEntry).chain, chain.toString('hex'));
    }
    assert.equal(log.head.chain, chain.toString('hex'));
  });

  it('lets no detail replace a field of the entry, and truncates long texts', () => {
    const log = open();
    const details = { by: 'x'.repeat(5000), method: '', reason: '', seq: 99, kind: 'stop', at: 0 };
    const entry = log.append('refused-request', details);
    assert.equal(entry.seq, 2);
    assert.equal(entry.kind, 'refused-request');
    assert.equal((entry['by'] as string).length, 1001);
    log.close();
  });

  it('continues in numbered segments and keeps at most segmentsMax of them', async () => {
    const limits = { segmentBytesMax: 1500, segmentsMax: 4 };
    const log = open(limits);
    for (let limit = 0; limit < 60; limit++) quota(log, limit);
    await log.sign(signer);
    log.close();
    const names = readdirSync(directory).sort();
    assert.equal(names.length, 4);
    assert.notEqual(names[0], 'audit-000001.ndjson');
    const verdict = await verifyAudit(directory, anchors);
    assert.deepEqual(verdict.findings, []);
    assert.equal(verdict.entries, verdict.seqTo! - verdict.seqFrom! + 1);
    rmSync(join(directory, names[0]!));
    assert.match(faultsOf(await verifyAudit(directory)).join(), /segments (\d) to \1 are missing/);
    rmSync(join(directory, names[2]!));
    assert.match(
      faultsOf(await verifyAudit(directory)).join(),
      /segments .* are missing.*segments .* are missing/,
    );
  });

  it('is unsigned without an identity, and verification says so', async () => {
    const log = AuditLog.open(directory, { origin: null, clock: new FakeClock() });
    log.append('refused-certificate', { reason: 'two Os', fingerprintSha256: null });
    assert.equal(await log.sign(signer), false);
    log.close();
    const { good, tenant, unsigned, signedSeq } = await verifyAudit(directory);
    assert.deepEqual(
      { good, tenant, unsigned, signedSeq },
      { good: true, tenant: null, unsigned: 2, signedSeq: null },
    );
  });

  it('is not opened for another tenant, nor without its first line', () => {
    open().close();
    const foreign = { origin: { ...origin, tenant: 'globex' }, clock: new FakeClock() };
    assert.throws(() => AuditLog.open(directory, foreign), {
      code: 'AuditDamaged',
      message: /another tenant/,
    });
    writeFileSync(file(), '{}\n');
    assert.throws(open, { code: 'AuditDamaged', message: /lost its first line/ });
  });

  it('throws when the disk refuses an entry, and accepts the next', {
    skip: process.geteuid!() !== 0 && 'needs root',
  }, async () => {
    const log = open({ segmentBytesMax: 600, segmentsMax: 9 });
    while (readFileSync(file()).length < 600) quota(log, 1);
    process.seteuid!(65_534);
    assert.throws(() => quota(log, 2), { code: 'Io' });
    process.seteuid!(0);
    quota(log, 3);
    log.close();
    assert.deepEqual((await verifyAudit(directory)).findings, []);
    assert.doesNotMatch(linesOf(2).join(), /"limit":2/);
  });
});

describe('audit log after a crash', () => {
  it('is valid wherever its last line was truncated, and notes the fragment', async () => {
    await exampleLog();
    const whole = readFileSync(file());
    const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
    for (let cut = lastLine; cut < whole.length; cut += 1) {
      writeFileSync(file(), whole.subarray(0, cut));
      const before = await verifyAudit(directory);
      assert.equal(before.good, true);
      assert.equal(before.findings.length, cut === lastLine ? 0 : 1);
      const log = open();
      const { seq } = quota(log, 1);
      log.close();
      const verdict = await verifyAudit(directory, anchors);
      assert.equal(verdict.good, true);
      if (cut === lastLine) continue;
      const torn = {
        severity: 'note',
        file: file(),
        line: 13,
        message: 'cut short by a power cut, as the next entry says',
      };
      assert.deepEqual(verdict.findings, [torn]);
      const [repair] = linesOf()
        .slice(13)
        .map((line) => JSON.parse(line) as AuditEntry);
      assert.deepEqual([repair?.kind, repair?.['bytes'], seq], ['repair', cut - lastLine, 14]);
    }
  });

  it('accepts zeros as a truncated line, as some file systems leave them', async () => {
    await exampleLog();
    appendFileSync(file(), Buffer.alloc(100));
    open().close();
    const { good, findings } = await verifyAudit(directory, anchors);
    assert.equal(good, true);
    assert.equal(findings.length, 1);
  });

  it('has every accepted entry after kill -9', { timeout: 120_000 }, async () => {
    let accepted = 1;
    for (let round = 0; round < 5; round++) {
      accepted = Math.max(accepted, await appendUntilKilled(300 + round * 40));
      const log = open();
      assert.ok(log.head.seq >= accepted, `${log.head.seq} of ${accepted}`);
      log.close();
    }
    const { findings, seqTo } = await verifyAudit(directory);
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'fault'),
      [],
    );
    assert.ok(seqTo! >= accepted);
  });
});

/** Another process appends as fast as it can, and is killed after `entries`; the last seq that it reported. */
async function appendUntilKilled(count: number): Promise<number> {
  const script = `
    const { AuditLog } = await import(process.argv[1]);
    const { wholeFrom } = await import(process.argv[3]);
    const below = wholeFrom(Number(process.argv[4]));
    const clock = { wallMs: () => Date.now() };
    const origin = { tenant: 'acme', gateway: 'acme_gw-0001' };
    const limits = { segmentBytesMax: 20_000, segmentsMax: 1000 };
    const log = AuditLog.open(process.argv[2], { origin, clock, limits });
    for (;;) {
      const { seq } = log.append('stop', { reason: 'x'.repeat(10 + below(300)) });
      process.stdout.write(seq + '\\n');
    }`;
  const module = new URL('../../src/audit/audit-log.ts', import.meta.url).href;
  const random = new URL('../support/random.ts', import.meta.url).href;
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', script, module, directory, random, String(count)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let told = 0;
  let lines = 0;
  for await (const line of createInterface(child.stdout)) {
    told = Number(line);
    lines += 1;
    if (lines === count) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  return told;
}

describe('audit log verification', () => {
  type Tampering = [(lines: string[]) => string[], string[]];
  const reseal = (lines: readonly string[]): string[] => {
    let chain = Buffer.alloc(32);
    return lines.map((line) => {
      const body = line.replace(/,"chain":"[0-9a-f]{64}"\}$/, '}');
      chain = Buffer.from(chainNext(chain, Buffer.from(body)));
      return `${body.slice(0, -1)},"chain":"${chain.toString('hex')}"}`;
    });
  };
  const renumber = (lines: readonly string[]): string[] =>
    lines.map((line, index) => line.replace(/"seq":\d+/, `"seq":${index + 1}`));
  const cases: Record<string, Tampering> = {
    'a changed entry': [
      (lines) => lines.with(4, lines[4]!.replace('"limit":5', '"limit":6')),
      ['5: entry 5 was changed, or the one before it: its chain value does not match'],
    ],
    'a changed chain value': [
      (lines) => lines.with(4, lines[4]!.replace(/"chain":"../, '"chain":"zz'.replaceAll('z', '0'))),
      [
        '5: entry 5 was changed, or the one before it: its chain value does not match',
        '6: entry 6 was changed, or the one before it: its chain value does not match',
      ],
    ],
    'a removed entry': [(lines) => lines.toSpliced(4, 1), ['5: entry 5 is missing before this one']],
    'three removed entries': [
      (lines) => lines.toSpliced(4, 3),
      ['5: entries 5 to 7 are missing before this one'],
    ],
    'a repeated entry': [
      (lines) => lines.toSpliced(6, 0, lines[3]!),
      ['7: expected entry 7, found 4: it was inserted or moved'],
    ],
    'a damaged line': [(lines) => lines.with(4, 'garbage'), ['5: is no entry: it was damaged or inserted']],
    'a removed first line': [
      (lines) => lines.slice(1),
      [
        '1: the segment does not begin with its own first line',
        '10: the signature is by acme/acme_gw-0001, but the log is of a silo without an identity',
      ],
    ],
    'a rewritten entry with a recomputed chain': [
      (lines) => reseal(lines.with(4, lines[4]!.replace('"limit":5', '"limit":6'))),
      ['11: entries up to 10 were rewritten after they were signed'],
    ],
    'a removed entry with a recomputed chain': [
      (lines) => reseal(renumber(lines.toSpliced(4, 1))),
      ['10: entries up to 10 were rewritten after they were signed'],
    ],
    'a changed signature': [
      (lines) => reseal(lines.with(10, lines[10]!.replace(/....","chain"/, 'AAAA","chain"'))),
      [
        `11: the signature does not hold: FILE: the signature is not good (signature verification failed) (E301)`,
      ],
    ],
  };
  for (const [title, [act, faults]] of Object.entries(cases)) {
    it(`detects ${title}`, async () => {
      const lines = await exampleLog();
      writeFileSync(file(), `${act(lines).join('\n')}\n`);
      const verdict = await verifyAudit(directory, anchors);
      assert.deepEqual(
        faultsOf(verdict).map((each) => each.replace(file(), 'FILE')),
        faults,
      );
      assert.equal(verdict.good, false);
    });
  }

  it("detects another tenant's signature, another CA's, and another tenant's segment", async () => {
    const log = open();
    quota(log, 1);
    await log.sign(otherUser);
    log.close();
    assert.match(
      faultsOf(await verifyAudit(directory, anchors)).join(),
      /signature is by globex\/globex_gw-0001/,
    );

    rmSync(file());
    const forger = await signerOf('acme', 'acme_gw-0001', await makeAuthority());
    const forged = open();
    quota(forged, 1);
    await forged.sign(forger);
    forged.close();
    assert.equal((await verifyAudit(directory)).good, true, 'without anchors any signer passes');
    assert.match(faultsOf(await verifyAudit(directory, anchors)).join(), /not hold:.*was not signed by the/);
  });

  it('detects a change of any byte', async () => {
    await exampleLog();
    const whole = readFileSync(file());
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 2), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const changed = Buffer.from(whole);
        changed[at]! ^= mask;
        writeFileSync(file(), changed);
        assert.equal((await verifyAudit(directory, anchors)).good, false);
      }),
      { numRuns: 500 },
    );
  });
});
