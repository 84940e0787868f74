import assert from 'node:assert/strict';
import { createHash, createPrivateKey, sign, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CompactSign } from 'jose';
import { verifySigned, type Statement, type VouchFor } from '../../src/backend/signature.ts';
import { MerestoneError } from '../../src/base/error.ts';
import { loadGatewayTrust } from '../../src/cli/gateway-trust.ts';
import { parseCertificate } from '../../src/identity/certificate.ts';
import { createSigner } from '../../src/identity/signer.ts';
import type { CheckpointClaims } from '../../src/messages/checkpoint.ts';
import { decodeClaims } from '../../src/messages/decoding.ts';
import { checkpointBytesMax } from '../../src/messages/document-limits.ts';
import { createAuthority, type Authority } from '../../src/simulator/certificate-authority.ts';
import { mutations } from '../support/mutation.ts';
import { issueSigner, SealedStream } from '../support/sealed-stream.ts';
import { makeAuthority, makeCertificate, name, nameConstraints, uri, type Holder } from '../support/pki.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const beta = { tenant: 'beta', gateway: 'beta_gw-0001' };
const stream = new SealedStream(acme).appendMany(5);

type TestSigner = Awaited<ReturnType<typeof issueSigner>>;

describe('a signed checkpoint', () => {
  const folder = temporaryDirectory({ after });
  let acmeCa: Authority;
  let betaCa: Authority;
  let signer: TestSigner;
  let trustAcme: VouchFor;
  let trustEach: VouchFor;
  let jws: string;

  before(async () => {
    [acmeCa, betaCa] = [await createAuthority('Acme CA'), await createAuthority('Beta CA')];
    const files = { acme: join(folder, 'acme.crt'), beta: join(folder, 'beta.crt') };
    writeFileSync(files.acme, acmeCa.certificatePem);
    writeFileSync(files.beta, betaCa.certificatePem);
    trustAcme = loadGatewayTrust([files.acme]);
    trustEach = loadGatewayTrust([`acme=${files.acme}`, `beta=${files.beta}`]);
    signer = await issueSigner(acmeCa, acme);
    jws = await signer.sign(stream.claims());
  });

  const checkpointOf = (origin: typeof acme): Statement<CheckpointClaims> => ({
    decode: (payload) => decodeClaims(origin, payload),
    bytesMax: checkpointBytesMax,
    signedAt: ({ at }) => at,
  });
  const verify = (text: string, trust = trustAcme, origin = acme) =>
    verifySigned(text, checkpointOf(origin), trust);

  it('is believed where its certificate is trusted and all names agree', async () => {
    for (const trust of [trustAcme, trustEach]) {
      const { claims, signer: who } = await verify(jws, trust);
      assert.deepEqual(claims, stream.claims(5, { at: claims.at }));
      const { raw } = new X509Certificate(signer.certificatePem);
      const fingerprintSha256 = createHash('sha256').update(raw).digest('hex');
      const { notBefore, notAfter, ...names } = who;
      assert.deepEqual(names, { ...acme, fingerprintSha256 });
      assert.ok(notBefore < claims.at && claims.at < notAfter);
    }
  });

  it('is believed with an RSA key, as PS256, and by way of an intermediate CA', async () => {
    const root = await makeAuthority();
    const tenantCa = await makeAuthority({ subject: name({ CN: 'Tenant CA' }) }, root);
    const leaf = await makeCertificate({ key: 'rsa2048' }, tenantCa);
    writeFileSync(join(folder, 'root.crt'), root.certificatePem);
    const chain = [leaf, tenantCa].map(({ der }) => parseCertificate(der, 'test'));
    const text = await createSigner(chain[0]!, chain, createPrivateKey(leaf.privateKeyPem)).sign(
      stream.claims(),
    );
    const trust = loadGatewayTrust([join(folder, 'root.crt')]);
    assert.equal((await verify(text, trust)).claims.seq, 5);
    const alone = await createSigner(chain[0]!, chain.slice(0, 1), createPrivateKey(leaf.privateKeyPem)).sign(
      stream.claims(),
    );
    await assert.rejects(verify(alone, trust), { code: 'SignatureRefused' });
  });

  /** A JWS with exactly this header over these claims, by this key. */
  function forge(header: object, claims: object, { privateKeyPem }: Pick<Holder, 'privateKeyPem'>): string {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part(header)}.${part(claims)}`;
    const key = { key: privateKeyPem, dsaEncoding: 'ieee-p1363' as const };
    return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
  }

  function headerOf(certificatePem: string): { alg: string; 'x5t#S256': string; x5c: string[] } {
    const { raw } = new X509Certificate(certificatePem);
    const thumbprint = createHash('sha256').update(raw).digest('base64url');
    return { alg: 'ES256', 'x5t#S256': thumbprint, x5c: [raw.toString('base64')] };
  }

  it('is refused in every way that it can be wrong', async () => {
    const otherUser = await issueSigner(acmeCa, { tenant: 'acme', gateway: 'acme_gw-0002' });
    const betaSigner = await issueSigner(betaCa, beta);
    const impostor = await issueSigner(betaCa, acme);
    const minuteMs = 60_000;
    const ended = Date.now() - 10 * minuteMs;
    const expired = await issueSigner(acmeCa, acme, { notBefore: ended - 40 * minuteMs, notAfter: ended });
    const twoOs = await makeCertificate({
      subject: name({ O: 'acme' }, { O: 'beta' }, { CN: acme.gateway }),
    });
    const good = headerOf(signer.certificatePem);
    const claims = stream.claims();
    const [protectedPart, , signature] = jws.split('.');
    const otherClaims = Buffer.from(JSON.stringify({ ...claims, seq: 4 })).toString('base64url');
    const hmac = await new CompactSign(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader({ ...good, alg: 'HS256' })
      .sign(new X509Certificate(signer.certificatePem).publicKey.export({ type: 'spki', format: 'der' }));

    const wrong: [string, string | Promise<string>, RegExp, VouchFor?][] = [
      ['empty', '', /signature is not good/],
      ['no JWS', 'hello', /signature is not good/],
      ['claims exchanged under the signature', `${protectedPart}.${otherClaims}.${signature}`, /signature/],
      ['no signature', `${protectedPart}.${jws.split('.')[1]}.`, /signature is not good/],
      ['alg none', forge({ ...good, alg: 'none' }, claims, signer), /signature is not good/],
      ['alg HS256 with the public key as secret', hmac, /signature is not good/],
      ['signed by another key', forge(good, claims, otherUser), /signature is not good/],
      ['no certificate', forge({ alg: 'ES256' }, claims, signer), /brings no certificate/],
      ['certificates that are none', forge({ ...good, x5c: ['AAAA'] }, claims, signer), /x5t#S256/],
      ['no thumbprint', forge({ ...good, 'x5t#S256': undefined }, claims, signer), /x5t#S256/],
      ['another’s thumbprint', forge({ ...good, 'x5t#S256': 'AAAA' }, claims, signer), /x5t#S256/],
      [
        'a critical header',
        forge({ ...good, crit: ['exp'], exp: 1 }, claims, signer),
        /signature is not good/,
      ],
      ['too long', 'a'.repeat(70_000), /longer than/],
      [
        'another gateway of the tenant',
        otherUser.sign(claims),
        /speaks for acme\/acme_gw-0001.* acme\/acme_gw-0002/,
      ],
      ['another tenant’s certificate', betaSigner.sign(claims), /certificate is not good/],
      [
        'another tenant’s certificate, both trusted',
        betaSigner.sign(claims),
        /certificate is not good/,
        trustEach,
      ],
      [
        'another tenant’s CA, in this one’s name',
        impostor.sign(claims),
        /certificate is not good/,
        trustEach,
      ],
      ['claims of another tenant', signer.sign({ ...claims, tenant: 'beta' }), /the topic says tenant acme/],
      ['an expired certificate', expired.sign(claims), /certificate is not good/],
      ['a time before the certificate', signer.sign({ ...claims, at: 0 }), /certificate is not good/],
      [
        'a certificate that signs itself',
        forge(headerOf(twoOs.certificatePem), claims, twoOs),
        /certificate is not/,
      ],
      ['version 2', signer.sign({ ...claims, v: 2 }), /^v: /],
      ['no chain', signer.sign({ ...claims, chain: undefined }), /^chain: /],
      ['a chain in capitals', signer.sign({ ...claims, chain: 'A'.repeat(64) }), /^chain: /],
      ['an unknown claim', signer.sign({ ...claims, extra: 1 }), /"extra"/],
    ];
    for (const [what, text, reason, trust] of wrong) {
      await assert.rejects(verify(await text, trust), (error) => {
        assert.ok(error instanceof MerestoneError, `${what}: ${String(error)}`);
        assert.match(error.message, reason, what);
        return true;
      });
    }
    await assert.rejects(verify(jws, trustAcme, beta), { code: 'StreamForeign' });
    await assert.rejects(verify(await betaSigner.sign(new SealedStream(beta).claims()), trustEach), {
      code: 'StreamForeign',
    });
    // Signed while the certificate was good, it stays good: evidence outlives certificates.
    const then = await expired.sign({ ...claims, at: ended - minuteMs });
    assert.equal((await verify(then)).claims.seq, 5);
  });

  it('costs little, whatever certificates it brings', async () => {
    const subject = name({ CN: 'Look-alike' });
    const first = await makeAuthority({ subject });
    const same = { subject, keys: first.keys };
    const lookAlikes = await Promise.all(Array.from({ length: 8 }, () => makeAuthority(same, first)));
    const leaf = await makeCertificate({}, first);
    const wide = await makeAuthority({
      subject: name({ CN: 'Wide CA' }),
      extensions: [
        nameConstraints(
          Array.from({ length: 100 }, () => uri('example.org')),
          [],
        ),
      ],
    });
    const ofWide = await makeCertificate({}, wide);
    const large = await makeCertificate({ key: 'rsa5120' }, first);
    const attacks: [string, Holder, Holder[], RegExp][] = [
      ['nine CAs that all sign one another', leaf, [first, ...lookAlikes], /too many certificates could be/],
      ['a CA of 100 constraints', ofWide, [wide], /more than 64 names/],
      ['a key of 5,120 bits', large, [first], /its key is too large/],
      ['eleven certificates', leaf, [first, ...lookAlikes, first], /more than 10 certificates/],
    ];
    for (const [what, holder, authorities, reason] of attacks) {
      const chain = [holder, ...authorities].map(({ der }) => parseCertificate(der, 'test'));
      const text = await createSigner(chain[0]!, chain, createPrivateKey(holder.privateKeyPem)).sign(
        stream.claims(),
      );
      const before = process.cpuUsage();
      await assert.rejects(verify(text), reason, what);
      const { user, system } = process.cpuUsage(before);
      assert.ok(user + system < 1_000_000, `${what}: ${user + system} µs`);
    }
  });

  it('is never anything but the original after 20,000 mutations', async () => {
    const { claims } = await verify(jws);
    let accepted = 0;
    for (const mutated of mutations(Buffer.from(jws), 20_000, 3)) {
      try {
        const verified = await verifySigned(mutated, checkpointOf(acme), trustAcme);
        assert.deepEqual(verified.claims, claims);
        accepted++;
      } catch (error) {
        if (!(error instanceof MerestoneError)) throw error;
      }
    }
    // Some mutations move no bit that base64url means.
    assert.ok(accepted < 100, `${accepted} were accepted`);
  });

  it('says what is wrong with the trust that it is given', () => {
    const wrong = [['a b=x.crt'], ['=x.crt'], [join(folder, 'none.crt')]];
    for (const sources of wrong) assert.throws(() => loadGatewayTrust(sources), MerestoneError);
    writeFileSync(join(folder, 'empty.crt'), 'nothing');
    assert.throws(() => loadGatewayTrust([join(folder, 'empty.crt')]), { code: 'IdentityRefused' });
  });
});
