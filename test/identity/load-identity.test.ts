import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { compactVerify } from 'jose';
import { MerestoneError } from '../../src/base/error.ts';
import type { ErrorCode } from '../../src/base/error.ts';
import { loadIdentity } from '../../src/identity/load-identity.ts';
import { TenantIdentity } from '../../src/identity/tenant-identity.ts';
import type { IdentityOptions } from '../../src/identity/options.ts';
import { createAuthority, makeAuthority, makeCertificate, name, writeIdentity } from '../support/pki.ts';
import type { Holder } from '../support/pki.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });

let root: Holder;
let intermediate: Holder;
let leaf: Holder;
let options: IdentityOptions;

before(async () => {
  root = await makeAuthority();
  intermediate = await makeAuthority({ subject: name({ CN: 'Intermediate' }) }, root);
  leaf = await makeCertificate({}, intermediate);
});

/** The three good files again, and one of them then spoilt. */
function spoil(act: (options: IdentityOptions) => void): IdentityOptions {
  options = writeIdentity(folder, {
    certificate: leaf.certificatePem + intermediate.certificatePem,
    privateKey: leaf.privateKeyPem,
    trust: root.certificatePem,
  });
  act(options);
  return options;
}

function openssl(...words: string[]): void {
  const { status, stderr } = spawnSync('openssl', words, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

function encryptKey({ privateKey }: IdentityOptions, ...words: string[]): void {
  const encrypted = `${privateKey}.encrypted`;
  openssl(...words, '-in', privateKey, '-out', encrypted, '-passout', 'pass:secret');
  renameSync(encrypted, privateKey);
}

function assertThrows(act: () => unknown, code: ErrorCode, reason: RegExp, subject?: string): void {
  assert.throws(act, (error: unknown) => {
    assert.ok(error instanceof MerestoneError, String(error));
    assert.match(error.message, reason);
    assert.equal(error.code, code);
    if (subject !== undefined) assert.equal(error.subject, subject);
    return true;
  });
}

describe('identity files', () => {
  it('give the chain, the key and the identity', () => {
    const loaded = loadIdentity(
      spoil(() => {}),
      Date.now(),
    );
    assert.equal(loaded.certificatePem, leaf.certificatePem + intermediate.certificatePem);
    assert.equal(loaded.privateKeyPem, leaf.privateKeyPem);
    const { fingerprint256, validToDate } = new X509Certificate(leaf.der);
    assert.equal(loaded.identity.fingerprintSha256, fingerprint256.replaceAll(':', '').toLowerCase());
    assert.equal(loaded.identity.notAfter, validToDate.getTime());
  });

  it('are read as openssl writes them: with text around, with EC PARAMETERS, as SEC 1, with CRLF', () => {
    const key = join(folder, 'openssl.key');
    const certificate = join(folder, 'openssl.crt');
    spoil(({ privateKey }) => {
      openssl('ec', '-in', privateKey, '-out', key);
      writeFileSync(
        privateKey,
        `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${readFileSync(key, 'utf8')}`,
      );
    });
    openssl('x509', '-in', options.certificate, '-text', '-out', certificate);
    const text = readFileSync(certificate, 'utf8') + intermediate.certificatePem;
    writeFileSync(options.certificate, text.replaceAll('\n', '\r\n'));
    assert.equal(loadIdentity(options, Date.now()).identity.tenantId, 'acme');
  });

  it('are read as the CA of the demo writes them', async () => {
    const authority = await createAuthority('Demo CA');
    const spiffe = 'spiffe://demo/tenant/globex/gateway/globex_gw-7';
    const issued = await authority.issue({ organization: 'globex', commonName: 'globex_gw-7', spiffe });
    const paths = writeIdentity(folder, {
      certificate: issued.certificatePem,
      privateKey: issued.privateKeyPem,
      trust: authority.certificatePem,
    });
    const { tenantId, gatewayId } = loadIdentity(paths, Date.now()).identity;
    assert.deepEqual({ tenantId, gatewayId }, { tenantId: 'globex', gatewayId: 'globex_gw-7' });
  });

  type Spoilt = [(options: IdentityOptions) => void, ErrorCode, RegExp, keyof IdentityOptions];
  const spoilt: Record<string, Spoilt> = {
    'a missing certificate': [
      (o) => rmSync(o.certificate),
      'IdentityMissing',
      /there is no certificate here/,
      'certificate',
    ],
    'a missing key': [(o) => rmSync(o.privateKey), 'IdentityMissing', /no private key here/, 'privateKey'],
    'a missing trust': [(o) => rmSync(o.trust), 'IdentityMissing', /no CA certificate here/, 'trust'],
    'an empty certificate': [
      (o) => truncateSync(o.certificate),
      'IdentityRefused',
      /is empty/,
      'certificate',
    ],
    'an empty key': [(o) => truncateSync(o.privateKey), 'IdentityRefused', /is empty/, 'privateKey'],
    'an empty trust': [(o) => truncateSync(o.trust), 'IdentityRefused', /is empty/, 'trust'],
    'a folder for a certificate': [
      (o) => {
        rmSync(o.certificate);
        mkdirSync(o.certificate);
      },
      'IdentityRefused',
      /is not a file/,
      'certificate',
    ],
    'a file that is far too large': [
      (o) => truncateSync(o.trust, 2_000_000),
      'IdentityRefused',
      /2000000 bytes are too many/,
      'trust',
    ],
    'garbage for a certificate': [
      (o) => writeFileSync(o.certificate, 'garbage'),
      'IdentityRefused',
      /holds no certificate in PEM/,
      'certificate',
    ],
    'a certificate in DER': [
      (o) => writeFileSync(o.certificate, leaf.der),
      'IdentityRefused',
      /holds no certificate in PEM/,
      'certificate',
    ],
    'garbage in a PEM block': [
      (o) =>
        writeFileSync(o.certificate, '-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n'),
      'IdentityRefused',
      /no proper certificate/,
      'certificate',
    ],
    'a PEM block cut short': [
      (o) => writeFileSync(o.certificate, leaf.certificatePem.slice(0, -40)),
      'IdentityRefused',
      /damaged or cut short/,
      'certificate',
    ],
    'a truncated DER in a whole PEM block': [
      (o) => writeFileSync(o.certificate, pemOf(leaf.der.subarray(0, -9))),
      'IdentityRefused',
      /no proper certificate/,
      'certificate',
    ],
    'bytes after the certificate in its block': [
      (o) => writeFileSync(o.certificate, pemOf(Buffer.concat([leaf.der, Buffer.from('more')]))),
      'IdentityRefused',
      /no proper certificate/,
      'certificate',
    ],
    'the CA bundle for the certificate': [
      (o) => writeFileSync(o.certificate, leaf.certificatePem.repeat(11)),
      'IdentityRefused',
      /more than 10 certificates/,
      'certificate',
    ],
    'the key for the certificate': [
      (o) => writeFileSync(o.certificate, leaf.privateKeyPem),
      'IdentityRefused',
      /holds no certificate/,
      'certificate',
    ],
    'a trust without certificates': [
      (o) => writeFileSync(o.trust, leaf.privateKeyPem),
      'IdentityRefused',
      /holds no certificate/,
      'trust',
    ],
    'an encrypted key': [
      (o) => encryptKey(o, 'pkcs8', '-topk8'),
      'IdentityRefused',
      /is encrypted/,
      'privateKey',
    ],
    'a key encrypted the old way': [
      (o) => encryptKey(o, 'ec', '-aes128'),
      'IdentityRefused',
      /is encrypted/,
      'privateKey',
    ],
    'garbage for a key': [
      (o) => writeFileSync(o.privateKey, '-----BEGIN PRIVATE KEY-----\ngarbage\n-----END PRIVATE KEY-----\n'),
      'IdentityRefused',
      /no proper private key/,
      'privateKey',
    ],
    'a file without a key': [
      (o) => writeFileSync(o.privateKey, leaf.certificatePem),
      'IdentityRefused',
      /holds no private keys/,
      'privateKey',
    ],
    'two keys in one file': [
      (o) => writeFileSync(o.privateKey, leaf.privateKeyPem + root.privateKeyPem),
      'IdentityRefused',
      /holds 2 private keys/,
      'privateKey',
    ],
    "another's key": [
      (o) => writeFileSync(o.privateKey, root.privateKeyPem),
      'IdentityKeyMismatch',
      /not the key of .*gateway\.crt/,
      'privateKey',
    ],
  };
  for (const [title, [act, code, reason, which]] of Object.entries(spoilt)) {
    it(`are refused with ${title}`, () => {
      const paths = spoil(act);
      assertThrows(() => loadIdentity(paths, Date.now()), code, reason, paths[which]);
      rmSync(paths[which], { recursive: true, force: true });
    });
  }

  it('are refused if they cannot be read', () => {
    const paths = spoil(({ privateKey }) => chmodSync(privateKey, 0));
    const asRoot = process.geteuid!() === 0;
    try {
      if (asRoot) {
        chmodSync(folder, 0o755);
        process.seteuid!(65_534);
      }
      assertThrows(
        () => loadIdentity(paths, Date.now()),
        'FileUnreadable',
        /cannot be read \(EACCES\)/,
        paths.privateKey,
      );
    } finally {
      if (asRoot) process.seteuid!(0);
    }
  });
});

describe('a certificate’s validity time', () => {
  const at = (iso: string): number => Date.parse(iso);
  let paths: IdentityOptions;

  before(async () => {
    const elder = await makeAuthority({ notBefore: new Date(0), notAfter: new Date('2049-12-31T00:00:00Z') });
    const long = await makeCertificate(
      { notBefore: new Date('2031-01-01T00:00:00Z'), notAfter: new Date('2032-01-01T00:00:00Z') },
      elder,
    );
    paths = writeIdentity(mkdtempSync(join(folder, 'time-')), {
      certificate: long.certificatePem,
      privateKey: long.privateKeyPem,
      trust: elder.certificatePem,
    });
  });

  it('is exact to the second', () => {
    assert.ok(loadIdentity(paths, at('2031-01-01T00:00:00Z')));
    assert.ok(loadIdentity(paths, at('2032-01-01T00:00:00Z')));
    assertThrows(
      () => loadIdentity(paths, at('2030-12-31T23:59:59.999Z')),
      'IdentityOutOfTime',
      /not valid before/,
    );
    assertThrows(
      () => loadIdentity(paths, at('2032-01-01T00:00:00.001Z')),
      'IdentityOutOfTime',
      /expired on/,
    );
  });

  it('leads to advice on the clock years after the end, and to renewal before', () => {
    const fault = (now: string): string => {
      try {
        loadIdentity(paths, at(now));
      } catch (error) {
        return (error as MerestoneError).describe();
      }
      return 'accepted';
    };
    assert.match(
      fault('2032-06-01T12:00:00Z'),
      /it expired on 2032-01-01T00:00:00Z, and the clock says 2032-06-01; have the certificate renewed/,
    );
    assert.match(
      fault('2033-06-01T00:00:00Z'),
      /set the clock of this box, which is over a year past that; if it is right, have the certificate renewed/,
    );
    assert.match(
      fault('2041-06-01T00:00:00Z'),
      /the clock says 2041-06-01; set the clock of this box, which is 9 years past that/,
    );
    assert.match(
      fault('1970-01-01T00:00:00Z'),
      /not valid before 2031-01-01T00:00:00Z, and it is 1970-01-01; check that the clock is right/,
    );
    assert.equal(
      fault('2032-06-01T12:00:00Z'),
      fault('2032-06-01T12:00:10Z'),
      'a look later it is the same reason',
    );
  });

  it('gives a retryable error before it begins, and a final one after it ends', () => {
    const retryable = (wallMs: number): boolean => {
      try {
        loadIdentity(paths, wallMs);
        return assert.fail('accepted');
      } catch (error) {
        return (error as MerestoneError).retryable;
      }
    };
    assert.equal(retryable(0), true);
    assert.equal(retryable(at('2033-01-01T00:00:00Z')), false);
  });

  it('lets an unknown clock be earlier than its beginning, but not later than its end', () => {
    assert.equal(loadIdentity(paths, 0, 'unknown').identity.tenantId, 'acme');
    assertThrows(
      () => loadIdentity(paths, at('2033-01-01T00:00:00Z'), 'unknown'),
      'IdentityOutOfTime',
      /expired on 2032-01-01T00:00:00Z/,
    );
  });
});

describe('a TenantIdentity', () => {
  it('is made only by verification', () => {
    const Forged = TenantIdentity as unknown as new (...words: unknown[]) => TenantIdentity;
    assert.throws(() => new Forged(Symbol('verified'), {}, { tenantId: 'acme' }), TypeError);
    assert.throws(() => new Forged(), TypeError);
  });

  it('cannot be changed, and a copy of it is not accepted as one', () => {
    const { identity } = loadIdentity(
      spoil(() => {}),
      Date.now(),
    );
    assert.throws(() => Object.assign(identity, { tenantId: 'globex' }), TypeError);
    assert.equal(identity.tenantId, 'acme');
    const likeness = Object.create(identity) as TenantIdentity;
    assert.throws(() => likeness.tenantId, TypeError);
    assert.deepEqual(structuredClone(identity), {});
  });
});

describe('a signature by the identity', () => {
  for (const [key, alg] of [
    ['p256', 'ES256'],
    ['rsa2048', 'PS256'],
  ] as const) {
    it(`is ${alg} with a key of ${key}, and carries its certificate`, async () => {
      const holder = await makeCertificate({ key }, root);
      const paths = writeIdentity(mkdtempSync(join(folder, 'sign-')), {
        certificate: holder.certificatePem,
        privateKey: holder.privateKeyPem,
        trust: root.certificatePem,
      });
      const { identity, signer } = loadIdentity(paths, Date.now());
      const claims = { v: 1, tenant: 'acme', text: 'Zähler' };
      const jws = await signer.sign(claims);
      const certificate = new X509Certificate(holder.der);
      const { payload, protectedHeader } = await compactVerify(jws, certificate.publicKey);
      assert.deepEqual(JSON.parse(Buffer.from(payload).toString()), claims);
      assert.equal(protectedHeader.alg, alg);
      assert.deepEqual(protectedHeader.x5c, [holder.der.toString('base64')]);
      const thumbprint = Buffer.from(protectedHeader['x5t#S256'] as string, 'base64url');
      assert.equal(thumbprint.toString('hex'), identity.fingerprintSha256);
    });
  }
});

function pemOf(der: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
}
