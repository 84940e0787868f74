import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { join } from 'node:path';
import { MerestoneError } from '../../src/base/error.ts';
import type { ErrorCode } from '../../src/base/error.ts';
import { loadIdentity } from '../../src/identity/load-identity.ts';
import type { LoadedIdentity } from '../../src/identity/load-identity.ts';
import {
  attribute,
  clientAuth,
  der,
  digitalSignature,
  directory,
  dns,
  extension,
  keyAgreement,
  keyCertSign,
  makeAuthority,
  makeCertificate,
  name,
  serverAuth,
  subjectAlternativeName,
  uri,
  writeIdentity,
} from '../support/pki.ts';
import type { Holder, Shape } from '../support/pki.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });
let authority: Holder;

before(async () => {
  authority = await makeAuthority();
});

async function load(shape: Shape): Promise<LoadedIdentity> {
  const holder = await makeCertificate(shape, authority);
  const { certificatePem: certificate, privateKeyPem: privateKey } = holder;
  const options = writeIdentity(folder, { certificate, privateKey, trust: authority.certificatePem });
  return loadIdentity(options, Date.now());
}

const spiffe = 'spiffe://example.org/tenant/acme/gateway/acme_gw-0001';
const o = (text: string | Uint8Array, tag?: number): Buffer[] => [attribute('O', text, tag)];
const cn = [attribute('CN', 'acme_gw-0001')];
const dayMs = 86_400_000;

describe('the certificate profile accepts', () => {
  const accepted: Record<string, Shape> = {
    'O and CN alone': {},
    'O and CN as PrintableString': {
      subject: name(o('acme', 0x13), [attribute('CN', 'acme-1', 0x13)]),
    },
    'other attributes beside them': {
      subject: name({ C: 'DE' }, { O: 'acme' }, { OU: 'roof, east' }, { CN: 'acme_1' }),
    },
    'CN before O': { subject: name({ CN: 'acme_gw-0001' }, { O: 'acme' }) },
    'segments of 64 characters': { subject: name({ O: 'a'.repeat(64) }, { CN: 'Z_-9'.repeat(16) }) },
    'a SPIFFE URI of the same two': { alternativeNames: [uri(spiffe)] },
    'other alternative names beside it': {
      alternativeNames: [
        dns('gw.example.org'),
        uri('https://example.org/'),
        uri(spiffe),
        directory(name({ O: 'b' })),
      ],
    },
    'clientAuth among other usages': { extendedKeyUsages: [serverAuth, clientAuth] },
    'no key usage extension': { keyUsages: null },
    'an RSA key of 2048 bits': { key: 'rsa2048' },
    'an unknown extension that is not critical': {
      extensions: [extension('1.2.3.4', false, Buffer.from([5, 0]))],
    },
  };
  for (const [title, shape] of Object.entries(accepted)) {
    it(title, async () => {
      const { identity } = await load(shape);
      assert.match(identity.tenantId, /^(acme|a{64})$/);
      assert.equal(identity.fingerprintSha256.length, 64);
    });
  }

  it('the ids of the subject as tenant and gateway', async () => {
    const { identity } = await load({});
    assert.equal(identity.tenantId, 'acme');
    assert.equal(identity.gatewayId, 'acme_gw-0001');
    assert.deepEqual(identity.warnings, []);
  });

  it('a CN without the tenant, with a warning', async () => {
    const { identity } = await load({ subject: name({ O: 'acme' }, { CN: 'gw-0001' }) });
    assert.equal(identity.gatewayId, 'gw-0001');
    assert.match(identity.warnings.join(), /'gw-0001' does not begin with 'acme_'/);
  });
});

describe('the certificate profile refuses, with the reason', () => {
  const refused: Record<string, [Shape, RegExp, ErrorCode?]> = {
    'two Os': [{ subject: name({ O: 'acme' }, { O: 'globex' }, { CN: 'acme_1' }) }, /has 2 Os/],
    'two equal Os': [{ subject: name({ O: 'acme' }, { O: 'acme' }, { CN: 'acme_1' }) }, /has 2 Os/],
    'two CNs': [{ subject: name({ O: 'acme' }, { CN: 'acme_1' }, { CN: 'acme_2' }) }, /has 2 CNs/],
    'no O': [{ subject: name({ CN: 'acme_1' }) }, /no O, which names the tenant/],
    'no CN': [{ subject: name({ O: 'acme' }) }, /no CN, which names the gateway/],
    'no subject at all': [{ subject: name(), alternativeNames: [uri(spiffe)] }, /no O/],
    'an empty O': [{ subject: name({ O: '' }, { CN: 'acme_1' }) }, /O, which names the tenant, is empty/],
    'an O of 65 characters': [{ subject: name({ O: 'a'.repeat(65) }, { CN: 'acme_1' }) }, /1 to 64/],
    'a slash in O': [{ subject: name({ O: 'acme/globex' }, { CN: 'acme_1' }) }, /O 'acme\/globex' is not/],
    'a wildcard in O': [{ subject: name({ O: '+' }, { CN: 'acme_1' }) }, /O '\+' is not/],
    'a dot in CN': [{ subject: name({ O: 'acme' }, { CN: 'acme_gw.1' }) }, /CN 'acme_gw\.1' is not/],
    'a comma that looks like a second attribute': [
      { subject: name({ O: 'acme, CN = globex_1' }, { CN: 'acme_1' }) },
      /O 'acme, CN = globex_1' is not/,
    ],
    'a line break that looks like a second attribute': [
      { subject: name({ O: 'acme\nCN=globex_1' }, { CN: 'acme_1' }) },
      /O 'acme\\u000aCN=globex_1' is not/,
    ],
    'a line break at the end': [{ subject: name({ O: 'acme\n' }, { CN: 'acme_1' }) }, /'acme\\u000a' is not/],
    'a NUL in O': [
      { subject: name({ O: 'acme\0.globex' }, { CN: 'acme_1' }) },
      /'acme\\u0000\.globex' is not/,
    ],
    'a space around O': [{ subject: name({ O: ' acme' }, { CN: 'acme_1' }) }, /O ' acme' is not/],
    'a Cyrillic lookalike in O': [{ subject: name({ O: 'аcme' }, { CN: 'acme_1' }) }, /'\\u0430cme' is not/],
    'a byte beyond ASCII in O': [{ subject: name(o(Buffer.from([0x61, 0xff])), cn) }, /O 'a\\u00ff' is not/],
    'an O as BMPString': [{ subject: name(o(Buffer.from('\0a\0c\0m\0e'), 0x1e), cn) }, /string type 0x1e/],
    'an O as UniversalString': [{ subject: name(o(Buffer.from('\0\0\0a'), 0x1c), cn) }, /string type 0x1c/],
    'an O as TeletexString': [{ subject: name(o('acme', 0x14), cn) }, /string type 0x14/],
    'O and CN in one relative name': [
      { subject: name([attribute('CN', 'acme_1'), attribute('O', 'acme')]) },
      /multi-valued RDN/,
    ],
    'a second O hidden in a relative name': [
      { subject: name([attribute('O', 'acme'), attribute('O', 'globex')], cn) },
      /multi-valued RDN/,
    ],
    'a SPIFFE URI of another tenant': [
      { alternativeNames: [uri('spiffe://example.org/tenant/globex/gateway/acme_gw-0001')] },
      /names tenant 'globex' and gateway 'acme_gw-0001', the subject 'acme' and 'acme_gw-0001'/,
    ],
    'a SPIFFE URI of another gateway': [
      { alternativeNames: [uri('spiffe://example.org/tenant/acme/gateway/acme_gw-0002')] },
      /names tenant 'acme' and gateway 'acme_gw-0002'/,
    ],
    'a SPIFFE URI of another shape': [
      { alternativeNames: [uri('spiffe://example.org/ns/acme/sa/gw')] },
      /is not spiffe:\/\/DOMAIN\/tenant\/TENANT\/gateway\/GATEWAY/,
    ],
    'a SPIFFE URI with a query': [{ alternativeNames: [uri(`${spiffe}?tenant=globex`)] }, /is not spiffe:/],
    'a SPIFFE URI in capitals': [{ alternativeNames: [uri(spiffe.toUpperCase())] }, /is not spiffe:/],
    'a SPIFFE URI with a percent escape': [
      { alternativeNames: [uri('spiffe://example.org/tenant/%61cme/gateway/acme_gw-0001')] },
      /is not spiffe:/,
    ],
    'two SPIFFE URIs': [{ alternativeNames: [uri(spiffe), uri(spiffe)] }, /has 2 SPIFFE URIs/],
    'two SPIFFE URIs of two schemes in letter case': [
      { alternativeNames: [uri(spiffe), uri('SPIFFE://example.org/tenant/globex/gateway/g')] },
      /has 2 SPIFFE URIs/,
    ],
    'two alternative name extensions': [
      { alternativeNames: [uri(spiffe)], extensions: [subjectAlternativeName([dns('a')])] },
      /no proper certificate/,
    ],
    'a CA certificate': [{ authority: true }, /it is a CA's certificate/],
    'a key usage of a CA': [{ keyUsages: keyCertSign | digitalSignature }, /it is a CA's certificate/],
    'no extended key usage': [{ extendedKeyUsages: null }, /does not allow clientAuth/],
    'serverAuth only': [{ extendedKeyUsages: [serverAuth] }, /does not allow clientAuth/],
    'any usage, clientAuth not named': [{ extendedKeyUsages: ['2.5.29.37.0'] }, /does not allow clientAuth/],
    'a key usage without signatures': [{ keyUsages: keyAgreement }, /does not allow digitalSignature/],
    'an unknown critical extension': [
      { extensions: [extension('1.2.3.4', true, Buffer.from([5, 0]))] },
      /critical extension that is not known here \(1\.2\.3\.4\)/,
    ],
    'an RSA key of 1024 bits': [{ key: 'rsa1024' }, /RSA key has 1024 bits/],
    'a key on P-384': [{ key: 'p384' }, /on the curve secp384r1, not P-256/],
    'an Ed25519 key': [{ key: 'ed25519' }, /of type ed25519/],
    'an alternative name that is no DER': [
      { alternativeNames: [Buffer.from([0xa4, 1, 0])] },
      /no proper certificate/,
    ],
    'a BOOLEAN that is not DER': [
      { extensions: [extension('2.5.29.30', false, der(0x30, der(0xa0, der(0x31))))] },
      /no proper certificate/,
    ],
    'an expired certificate': [
      { notBefore: new Date(Date.now() - 2 * dayMs), notAfter: new Date(Date.now() - dayMs) },
      /expired on 20/,
      'IdentityOutOfTime',
    ],
    'a certificate that is not valid yet': [
      { notBefore: new Date(Date.now() + dayMs) },
      /not valid before 20.*and it is 20/,
      'IdentityOutOfTime',
    ],
  };
  for (const [title, [shape, reason, code = 'IdentityRefused']] of Object.entries(refused)) {
    it(title, async () => {
      await assert.rejects(load(shape), (error: unknown) => {
        assert.ok(error instanceof MerestoneError, String(error));
        assert.match(error.message, reason);
        assert.equal(error.code, code);
        assert.equal(error.subject, join(folder, 'gateway.crt'));
        assert.ok(error.hint);
        assert.match(error.describe(), /^[ -~]+$/, 'one line of ASCII for any certificate');
        return true;
      });
    });
  }
});
