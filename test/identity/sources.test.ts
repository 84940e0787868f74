import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, before, beforeEach, describe, it } from 'node:test';
import { MerestoneError } from '../../src/base/error.ts';
import { inspectIdentity } from '../../src/identity/inspection.ts';
import { installIdentity } from '../../src/identity/installation.ts';
import { loadIdentity } from '../../src/identity/load-identity.ts';
import type { IdentityOptions } from '../../src/identity/options.ts';
import { attribute, der, makeAuthority, makeCertificate, name, writeIdentity } from '../support/pki.ts';
import type { Holder } from '../support/pki.ts';

let folder: string;
let target: IdentityOptions;
let root: Holder;
let issuing: Holder;
let own: Holder;
let rsa: Holder;

before(async () => {
  root = await makeAuthority();
  issuing = await makeAuthority({ subject: name({ CN: 'acme issuing' }) }, root);
  own = await makeCertificate({}, issuing);
  rsa = await makeCertificate({ key: 'rsa2048' }, issuing);
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'merestone-source-'));
  const pem = own.certificatePem + issuing.certificatePem;
  target = writeIdentity(folder, {
    certificate: pem,
    privateKey: own.privateKeyPem,
    trust: root.certificatePem,
  });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(title: string, content: string | Buffer): string {
  const path = join(folder, title);
  writeFileSync(path, content);
  return path;
}

function openssl(...words: string[]): void {
  const { status, stderr } = spawnSync('openssl', words, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

function install(sources: string[], password = ''): string {
  const request = { target, sources, password, newHolder: false, nowMs: Date.now() };
  return installIdentity(request).loaded.identity.gatewayId;
}

function faultOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof MerestoneError, String(error));
    return error.describe();
  }
  assert.fail('it is accepted');
}

const utf16 = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, 'utf16le')]);

describe('PKCS#12', () => {
  const passwords = ['geheim', 'grün', 'ñandú é', 'пароль', '密码', 'a🔑b', ''];
  const forms: [string, string[]][] = [
    ['PBES2', []],
    ['3DES', ['-legacy', '-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'PBE-SHA1-3DES']],
    ['RC2-40 and 3DES', ['-legacy']],
    [
      'a key in 3DES beside certificates in PBES2',
      ['-legacy', '-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'AES-256-CBC'],
    ],
    ['a SHA-512 MAC', ['-macalg', 'sha512']],
    ['no MAC', ['-nomac']],
  ];
  for (const [form, words] of forms) {
    it(`opens with any password: ${form}`, () => {
      for (const password of passwords) {
        const all = file('all.pem', own.privateKeyPem + own.certificatePem + issuing.certificatePem);
        const p12 = join(folder, 'all.p12');
        openssl('pkcs12', '-export', '-in', all, '-out', p12, '-passout', `pass:${password}`, ...words);
        assert.equal(install([p12], password), 'acme_gw-0001', password);
      }
    });
  }

  it('opens if the exporter encoded the password as Latin-1', () => {
    const all = file('all.pem', own.privateKeyPem + own.certificatePem + issuing.certificatePem);
    const password = file('password', Buffer.from('gr\xfcn', 'latin1'));
    const p12 = join(folder, 'all.p12');
    openssl('pkcs12', '-export', '-in', all, '-out', p12, '-passout', `file:${password}`);
    assert.equal(install([p12], 'grün'), 'acme_gw-0001');
  });

  it('opens without a password if it has none', () => {
    const all = file('all.pem', own.privateKeyPem + own.certificatePem + issuing.certificatePem);
    const p12 = join(folder, 'all.p12');
    const words = ['-keypbe', 'NONE', '-certpbe', 'NONE', '-nomac', '-passout', 'pass:'];
    openssl('pkcs12', '-export', '-in', all, '-out', p12, ...words);
    assert.equal(install([p12]), 'acme_gw-0001');
  });

  it('is refused with the cause: a missing password, a wrong one, or a damaged file', () => {
    const all = file('all.pem', own.privateKeyPem + own.certificatePem + issuing.certificatePem);
    const p12 = join(folder, 'all.p12');
    openssl('pkcs12', '-export', '-in', all, '-out', p12, '-passout', 'pass:grün');
    assert.match(
      faultOf(() => install([p12])),
      /\(it has a password\); give its password with --password-file/,
    );
    for (const wrong of ['grun', 'grün ', 'grÜn']) {
      assert.match(
        faultOf(() => install([p12], wrong)),
        /\(its password is another\).*in UTF-8/,
      );
    }
    const camellia = ['-keypbe', 'CAMELLIA-256-CBC', '-certpbe', 'CAMELLIA-256-CBC'];
    openssl('pkcs12', '-export', '-in', all, '-out', p12, '-passout', 'pass:grün', ...camellia);
    assert.match(
      faultOf(() => install([p12], 'grün')),
      /encryption is not known here.*openssl pkcs12 -in .* -nodes/,
    );
    writeFileSync(p12, readFileSync(p12).subarray(0, 300));
    assert.match(
      faultOf(() => install([p12], 'grün')),
      /it is damaged\); copy the file again, whole/,
    );
  });
});

describe('install', () => {
  const derKey = (pem: string, type: 'pkcs8' | 'sec1' | 'pkcs1'): Buffer =>
    createPrivateKey(pem).export({ type, format: 'der' } as { type: 'pkcs8'; format: 'der' });

  it('accepts certificates in DER (.cer) and keys in DER', () => {
    const authority = file('issuing.cer', issuing.der);
    const keys = [derKey(own.privateKeyPem, 'pkcs8'), derKey(own.privateKeyPem, 'sec1')];
    for (const key of keys) {
      assert.equal(install([file('own.cer', own.der), authority, file('own.key.der', key)]), 'acme_gw-0001');
    }
    const rsaKey = file('rsa.key.der', derKey(rsa.privateKeyPem, 'pkcs1'));
    assert.equal(install([file('rsa.cer', rsa.der), authority, rsaKey]), 'acme_gw-0001');
  });

  for (const form of ['DER', 'PEM']) {
    it(`accepts a PKCS#7 bundle (.p7b) in ${form}`, () => {
      const all = file('all.pem', root.certificatePem + issuing.certificatePem + own.certificatePem);
      const p7b = join(folder, 'all.p7b');
      openssl('crl2pkcs7', '-nocrl', '-certfile', all, '-outform', form, '-out', p7b);
      assert.equal(install([p7b]), 'acme_gw-0001');
      const [first] = readFileSync(target.certificate, 'utf8').split('-----END');
      assert.ok(own.certificatePem.startsWith(first!), 'its own certificate is the first in the file');
    });
  }

  const wholePem = () => own.privateKeyPem + own.certificatePem + issuing.certificatePem;
  const spoilt: Record<string, () => string | Buffer> = {
    'in UTF-16 with a mark': () => utf16(wholePem()),
    'in UTF-16, high byte first': () => utf16(wholePem()).swap16(),
    'in UTF-16 without a mark': () => Buffer.from(wholePem(), 'utf16le'),
    'in UTF-8 with a mark': () => `\ufeff${wholePem()}`,
    'with CR LF': () => wholePem().replaceAll('\n', '\r\n'),
    indented: () => wholePem().replaceAll(/^/gm, '      '),
    'joined by blanks': () => wholePem().replaceAll('\n', ' '),
    'with \\n written out': () => wholePem().replaceAll('\n', '\\n'),
    'with \\r\\n written out': () => wholePem().replaceAll('\n', '\\r\\n'),
    'between other text': () => `Subject: acme\n${wholePem()}Best regards\n`,
  };
  for (const [title, content] of Object.entries(spoilt)) {
    it(`accepts PEM ${title}`, () => assert.equal(install([file('spoilt.pem', content())]), 'acme_gw-0001'));
  }

  it('names the format that it cannot read, with the command that converts it', () => {
    const refused: [string, Buffer | string, RegExp][] = [
      ['store.jks', Buffer.from('feedfeed0000000200000001', 'hex'), /Java keystore.*keytool -importkeystore/],
      [
        'request.csr',
        '-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n',
        /is a certificate request/,
      ],
      ['notes.txt', 'hello', /neither a certificate nor a key.*\.p7b/],
      ['random.bin', Buffer.from('3003020107', 'hex'), /no proper private key/],
    ];
    for (const [title, content, words] of refused) {
      assert.match(
        faultOf(() => install([file(title, content)])),
        words,
      );
    }
    const encrypted = join(folder, 'own.key.enc');
    const clear = file('clear.key', own.privateKeyPem);
    openssl('pkcs8', '-topk8', '-in', clear, '-outform', 'DER', '-out', encrypted, '-passout', 'pass:x');
    assert.match(
      faultOf(() => install([encrypted])),
      /encrypted private key in DER.*openssl pkcs8/,
    );
    const request = join(folder, 'request.der');
    openssl('req', '-new', '-key', clear, '-subj', '/CN=x', '-outform', 'DER', '-out', request);
    assert.match(
      faultOf(() => install([request])),
      /is a certificate request/,
    );
  });
});

describe('the identity files of the configuration', () => {
  const gateway = () => loadIdentity(target, Date.now()).identity.gatewayId;

  it('may be PEM in any layout', () => {
    const pem = readFileSync(target.certificate, 'utf8');
    for (const spoil of [
      (text: string) => text.replaceAll(/^/gm, '    '),
      (text: string) => text.replaceAll('\n', ' '),
      (text: string) => text.replaceAll('\n', '\\n'),
      (text: string) => utf16(text),
    ]) {
      writeFileSync(target.certificate, spoil(pem));
      writeFileSync(target.privateKey, spoil(own.privateKeyPem));
      writeFileSync(target.trust, spoil(root.certificatePem));
      assert.equal(gateway(), 'acme_gw-0001');
    }
  });

  it('are refused with their format if they are not PEM', () => {
    const cases: [keyof IdentityOptions, Buffer, RegExp][] = [
      [
        'certificate',
        own.der,
        /no certificate in PEM: it is a certificate in DER; .*openssl x509 -inform DER/,
      ],
      ['trust', root.der, /it is a certificate in DER; .*openssl x509 -inform DER/],
      [
        'privateKey',
        createPrivateKey(own.privateKeyPem).export({ type: 'pkcs8', format: 'der' }),
        /it is a private key in DER; .*openssl pkey -inform DER/,
      ],
      ['certificate', Buffer.from('feedfeed00000002', 'hex'), /it is a Java keystore; .*keytool/],
    ];
    for (const [key, content, words] of cases) {
      const before = readFileSync(target[key]);
      writeFileSync(target[key], content);
      assert.match(faultOf(gateway), words);
      writeFileSync(target[key], before);
    }
    const all = file('all.pem', own.privateKeyPem + own.certificatePem);
    openssl('pkcs12', '-export', '-in', all, '-out', target.certificate, '-passout', 'pass:x');
    assert.match(faultOf(gateway), /it is a PKCS#12 file; put it in place with merestone identity install/);
    openssl('crl2pkcs7', '-nocrl', '-certfile', all, '-outform', 'DER', '-out', target.certificate);
    assert.match(
      faultOf(gateway),
      /it is a PKCS#7 bundle \(\.p7b\); .*openssl pkcs7 -inform DER -print_certs/,
    );
  });

  it('may have the chain in any order, and are sent in the order that TLS requires', () => {
    const parts = [own.certificatePem, issuing.certificatePem, root.certificatePem];
    for (const order of [
      [2, 1, 0],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [0, 2, 1],
    ]) {
      writeFileSync(target.certificate, order.map((index) => parts[index]).join(''));
      const { identity, certificatePem } = loadIdentity(target, Date.now());
      assert.equal(identity.gatewayId, 'acme_gw-0001');
      assert.equal(certificatePem.replaceAll('\n', ''), parts.join('').replaceAll('\n', ''));
      const { verified, faults } = inspectIdentity(target, Date.now());
      assert.deepEqual({ verified, faults }, { verified: true, faults: [] });
    }
  });

  it('are refused if they contain only CA certificates', () => {
    writeFileSync(target.certificate, root.certificatePem + issuing.certificatePem);
    assert.match(faultOf(gateway), /the subject has no O|a CA's certificate/);
  });
});

describe('a complete certificate with a wrong encoding', () => {
  const faultOfCertificate = async (shape: Parameters<typeof makeCertificate>[0]): Promise<string> => {
    const wrong = await makeCertificate(shape, root);
    writeFileSync(target.certificate, wrong.certificatePem);
    writeFileSync(target.privateKey, wrong.privateKeyPem);
    return faultOf(() => loadIdentity(target, Date.now()));
  };

  it('leads to the CA’s tool, not to another copy: an explicit FALSE', async () => {
    const fault = await faultOfCertificate({ basicConstraints: der(0x30, der(0x01, Buffer.from([0]))) });
    assert.match(fault, /an explicit FALSE in basicConstraints \(CA:FALSE written out\)/);
    assert.match(fault, /it came whole.*the CA's own tool.*issued again/);
    assert.doesNotMatch(fault, /copy/);
  });

  it('leads to another copy only if it is damaged', () => {
    writeFileSync(target.certificate, own.certificatePem.replace(/\n.{64}\n/, '\n'));
    assert.match(
      faultOf(() => loadIdentity(target, Date.now())),
      /copy the file again, whole/,
    );
  });

  const bmp = Buffer.from('acme_gw-0001', 'utf16le').swap16();
  for (const [type, tag, value] of [
    ['T61String \\(TeletexString\\)', 0x14, 'acme_gw-0001'],
    ['BMPString', 0x1e, bmp],
  ] as const) {
    it(`names the string type: ${type}`, async () => {
      const subject = name({ O: 'acme' }, [attribute('CN', value, tag)]);
      const fault = await faultOfCertificate({ subject });
      assert.match(fault, new RegExp(`CN is of string type 0x${tag.toString(16)}, ${type}`));
      assert.match(fault, /utf8only.*'_' does not fit a PrintableString/);
    });
  }
});
