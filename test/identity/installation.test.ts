import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { afterEach, before, beforeEach, describe, it } from 'node:test';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MerestoneError } from '../../src/base/error.ts';
import type { ErrorCode } from '../../src/base/error.ts';
import { installIdentity } from '../../src/identity/installation.ts';
import type { Installation } from '../../src/identity/installation.ts';
import { loadIdentity } from '../../src/identity/load-identity.ts';
import type { IdentityOptions } from '../../src/identity/options.ts';
import { createRequest } from '../../src/identity/certificate-request.ts';
import { makeAuthority, makeCertificate, name, writeIdentity } from '../support/pki.ts';
import type { Holder } from '../support/pki.ts';

let folder: string;
let target: IdentityOptions;
let root: Holder;
let intermediate: Holder;
let old: Holder;
let renewed: Holder;
let rsa: Holder;

before(async () => {
  root = await makeAuthority();
  intermediate = await makeAuthority({ subject: name({ CN: 'Intermediate' }) }, root);
  old = await makeCertificate({}, root);
  renewed = await makeCertificate({}, intermediate);
  rsa = await makeCertificate({ key: 'rsa2048' }, root);
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'merestone-install-'));
  target = writeIdentity(folder, {
    certificate: old.certificatePem,
    privateKey: old.privateKeyPem,
    trust: root.certificatePem,
  });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(title: string, content: string): string {
  const path = join(folder, title);
  writeFileSync(path, content);
  return path;
}

function install(sources: string[], more: { password?: string; newHolder?: boolean } = {}): Installation {
  return installIdentity({ target, sources, password: '', newHolder: false, nowMs: Date.now(), ...more });
}

function refused(act: () => unknown, code: ErrorCode, reason: RegExp): void {
  const before = readdirSync(folder).map((each) => [each, readFileSync(join(folder, each), 'utf8')]);
  assert.throws(act, (error: unknown) => {
    assert.ok(error instanceof MerestoneError, String(error));
    assert.match(error.describe(), reason);
    assert.equal(error.code, code);
    return true;
  });
  const after = readdirSync(folder).map((each) => [each, readFileSync(join(folder, each), 'utf8')]);
  assert.deepEqual(after, before, 'a refusal changes nothing');
}

function openssl(...words: string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', words, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout + stderr;
}

const fingerprint = (): string => loadIdentity(target, Date.now()).identity.fingerprintSha256;
const fingerprintOf = ({ der }: Holder): string =>
  new X509Certificate(der).fingerprint256.replaceAll(':', '').toLowerCase();

describe('installing an identity', () => {
  it('accepts certificate, intermediate and key from any files, in any order', () => {
    const sources = [
      file('ca.pem', intermediate.certificatePem),
      file('both.pem', renewed.privateKeyPem + renewed.certificatePem),
    ];
    const { loaded, replaced } = install(sources);
    assert.equal(loaded.identity.gatewayId, 'acme_gw-0001');
    assert.equal(fingerprint(), fingerprintOf(renewed));
    assert.equal(
      readFileSync(target.certificate, 'utf8'),
      renewed.certificatePem + intermediate.certificatePem,
    );
    assert.deepEqual(replaced, [target.privateKey, target.certificate]);
    assert.equal(readFileSync(`${target.certificate}.old`, 'utf8'), old.certificatePem);
    assert.equal(readFileSync(`${target.privateKey}.old`, 'utf8'), old.privateKeyPem);
    assert.equal(statSync(target.privateKey).mode & 0o777, 0o600);
  });

  it('can be undone by installing the old files', () => {
    install([file('new.pem', renewed.privateKeyPem + renewed.certificatePem + intermediate.certificatePem)]);
    install([`${target.certificate}.old`, `${target.privateKey}.old`]);
    assert.equal(fingerprint(), fingerprintOf(old));
  });

  it('accepts a first certificate for a key that was made here', () => {
    rmSync(target.certificate);
    const { replaced } = install([file('answer.pem', old.certificatePem)]);
    assert.deepEqual(replaced, []);
    assert.equal(statSync(target.certificate).mode & 0o777, 0o644);
    assert.equal(fingerprint(), fingerprintOf(old));
  });

  it("keeps the files' owner and mode, and follows a symbolic link", () => {
    const real = join(folder, 'real.key');
    renameSync(target.privateKey, real);
    symlinkSync(real, target.privateKey);
    chmodSync(real, 0o640);
    if (process.geteuid!() === 0) chownSync(real, 65_534, 65_534);
    const { uid, gid } = statSync(real);
    install([file('new.pem', renewed.privateKeyPem + renewed.certificatePem + intermediate.certificatePem)]);
    const after = statSync(real);
    assert.deepEqual([after.uid, after.gid, after.mode & 0o777], [uid, gid, 0o640]);
    assert.equal(readFileSync(target.privateKey, 'utf8'), renewed.privateKeyPem);
  });

  for (const [title, holder, words] of [
    ['as openssl makes it', () => renewed, []],
    ['in the old ciphers', () => renewed, ['-legacy']],
    ['with an RSA key', () => rsa, []],
    ['without encryption inside', () => renewed, ['-keypbe', 'NONE', '-certpbe', 'NONE']],
  ] as const) {
    it(`accepts PKCS#12 ${title}`, () => {
      const { certificatePem, privateKeyPem } = holder();
      const pem = file('all.pem', privateKeyPem + certificatePem + intermediate.certificatePem);
      const p12 = join(folder, 'all.p12');
      openssl('pkcs12', '-export', '-in', pem, '-out', p12, '-passout', 'pass:geheim', ...words);
      install([p12], { password: 'geheim' });
      assert.equal(fingerprint(), fingerprintOf(holder()));
    });
  }

  it('refuses PKCS#12 that is damaged, or with a wrong password', () => {
    const pem = file('all.pem', renewed.privateKeyPem + renewed.certificatePem);
    const p12 = join(folder, 'all.p12');
    openssl('pkcs12', '-export', '-in', pem, '-out', p12, '-passout', 'pass:geheim');
    refused(
      () => install([p12], { password: 'falsch' }),
      'IdentityRefused',
      /cannot be opened.*--password-file/,
    );
    writeFileSync(p12, readFileSync(p12).subarray(0, 200));
    refused(() => install([p12], { password: 'geheim' }), 'IdentityRefused', /cannot be opened/);
  });

  it('refuses a certificate of another key', () => {
    const lonely = file('lonely.pem', renewed.certificatePem);
    refused(() => install([lonely]), 'IdentityKeyMismatch', /none of the 1 certificates is of this key/);
  });

  it('refuses a certificate that the daemon would refuse', async () => {
    const otherUser = await makeCertificate();
    const source = file('untrusted.pem', otherUser.privateKeyPem + otherUser.certificatePem);
    refused(() => install([source]), 'IdentityUntrusted', /untrusted\.pem: it is self-signed/);
    const short = file('short.pem', renewed.privateKeyPem + renewed.certificatePem);
    refused(() => install([short]), 'IdentityUntrusted', /issued by 'CN=Intermediate'/);
  });

  it('refuses another tenant or gateway without newHolder', async () => {
    const other = await makeCertificate({ subject: name({ O: 'globex' }, { CN: 'globex_1' }) }, root);
    const source = file('other.pem', other.privateKeyPem + other.certificatePem);
    refused(
      () => install([source]),
      'IdentityForeign',
      /names globex\/globex_1, and the one in place acme\/acme_gw-0001.*--new-holder/,
    );
    install([source], { newHolder: true });
    assert.equal(fingerprint(), fingerprintOf(other));
  });

  it('refuses two keys, no key, and a missing file', () => {
    const two = file('two.pem', renewed.privateKeyPem + old.privateKeyPem + old.certificatePem);
    refused(() => install([two]), 'IdentityRefused', /hold 2 private keys/);
    refused(() => install([join(folder, 'none.pem')]), 'IdentityMissing', /no certificate here/);
    rmSync(target.privateKey);
    refused(() => install([target.certificate]), 'IdentityMissing', /no private key here/);
  });

  it('changes nothing if it cannot write', {
    skip: process.geteuid!() !== 0 && 'needs root',
  }, () => {
    const source = file(
      'new.pem',
      renewed.privateKeyPem + renewed.certificatePem + intermediate.certificatePem,
    );
    chmodSync(folder, 0o755);
    chmodSync(target.privateKey, 0o644);
    process.seteuid!(65_534);
    try {
      assert.throws(() => install([source]), /could not be replaced/);
    } finally {
      process.seteuid!(0);
    }
    assert.equal(fingerprint(), fingerprintOf(old));
    assert.ok(!existsSync(`${target.privateKey}.new`));
  });
});

describe('a certificate request', () => {
  it('is accepted by openssl, and the certificate for it can be installed', async () => {
    const wanted = { tenant: 'acme', gateway: 'acme_gw-0001', trustDomain: 'example.org' };
    const { privateKeyPem, requestPem } = await createRequest(wanted);
    const request = file('gateway.csr', requestPem);
    const text = openssl('req', '-in', request, '-noout', '-verify', '-text', '-nameopt', 'RFC2253');
    assert.match(text, /self-signature verify OK/);
    assert.match(text, /Subject: CN=acme_gw-0001,O=acme\n/);
    assert.match(text, /ASN1 OID: prime256v1/);
    assert.match(text, /URI:spiffe:\/\/example\.org\/tenant\/acme\/gateway\/acme_gw-0001/);
    const ca = [file('ca.pem', root.certificatePem), file('ca.key', root.privateKeyPem)] as const;
    const answer = join(folder, 'answer.pem');
    const words = ['-copy_extensions', 'copyall', '-CA', ca[0], '-CAkey', ca[1], '-days', '30'];
    openssl('x509', '-req', '-in', request, '-out', answer, ...words);
    install([answer, file('new.key', privateKeyPem)]);
    assert.equal(loadIdentity(target, Date.now()).identity.tenantId, 'acme');
  });

  it('is refused for names outside the profile', async () => {
    for (const wanted of [
      { tenant: 'a/b', gateway: 'g' },
      { tenant: 'acme', gateway: '' },
      { tenant: 'acme', gateway: 'g', trustDomain: 'Example/org' },
    ]) {
      await assert.rejects(createRequest(wanted), { code: 'Usage' });
    }
  });
});
