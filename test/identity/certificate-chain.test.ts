import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MerestoneError } from '../../src/base/error.ts';
import type { ErrorCode } from '../../src/base/error.ts';
import { loadIdentity } from '../../src/identity/load-identity.ts';
import type { IdentityOptions } from '../../src/identity/options.ts';
import {
  clientAuth,
  digitalSignature,
  directory,
  dns,
  extension,
  makeAuthority,
  makeCertificate,
  name,
  nameConstraints,
  serverAuth,
  uri,
  writeIdentity,
} from '../support/pki.ts';
import type { Holder, Shape } from '../support/pki.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });

interface ChainFiles {
  leaf: Holder;
  /** The certificates after it in its file. */
  intermediates?: readonly Holder[];
  trust: readonly Holder[];
}

const dayMs = 86_400_000;
const ca = (title: string, shape: Shape = {}, issuer?: Holder): Promise<Holder> =>
  makeAuthority({ subject: name({ CN: title }), ...shape }, issuer);
const pem = (holders: readonly Holder[]): string => holders.map((each) => each.certificatePem).join('');

/** Root, intermediate and gateway, the two CAs shaped as wanted. */
async function threeSteps(
  rootShape: Shape,
  intermediateShape: Shape,
  leafShape: Shape = {},
): Promise<ChainFiles> {
  const root = await ca('Root', rootShape);
  const intermediate = await ca('Intermediate', intermediateShape, root);
  return {
    leaf: await makeCertificate(leafShape, intermediate),
    intermediates: [intermediate],
    trust: [root],
  };
}

async function twoSteps(rootShape: Shape, leafShape: Shape = {}): Promise<ChainFiles> {
  const root = await ca('Root', rootShape);
  return { leaf: await makeCertificate(leafShape, root), trust: [root] };
}

function write({ leaf, intermediates = [], trust }: ChainFiles): IdentityOptions {
  return writeIdentity(folder, {
    certificate: pem([leaf, ...intermediates]),
    privateKey: leaf.privateKeyPem,
    trust: pem(trust),
  });
}

/** OpenSSL's own opinion, as a TLS broker would have it. */
function opensslAccepts({ intermediates = [] }: ChainFiles, options: IdentityOptions): boolean {
  const untrusted = join(folder, 'untrusted.pem');
  writeFileSync(untrusted, pem(intermediates));
  const between = intermediates.length > 0 ? ['-untrusted', untrusted] : [];
  const words = ['verify', '-partial_chain', '-purpose', 'sslclient', '-trusted', options.trust, ...between];
  return spawnSync('openssl', [...words, options.certificate]).status === 0;
}

const acme = directory(name({ O: 'acme' }));
const spiffe = uri('spiffe://example.org/tenant/acme/gateway/acme_gw-0001');

describe('a chain to the trusted CA is accepted', () => {
  const accepted: Record<string, () => Promise<ChainFiles>> = {
    'straight from it': () => twoSteps({}),
    'over an intermediate in the certificate file': () => threeSteps({}, {}),
    'over two, in the wrong order': async () => {
      const root = await ca('Root');
      const upper = await ca('Upper', {}, root);
      const lower = await ca('Lower', {}, upper);
      return { leaf: await makeCertificate({}, lower), intermediates: [upper, lower], trust: [root] };
    },
    'to an intermediate that is trusted without its root': async () => {
      const { leaf, intermediates = [] } = await threeSteps({}, {});
      return { leaf, trust: intermediates };
    },
    'with the root repeated in the certificate file': async () => {
      const model = await threeSteps({}, {});
      return { ...model, intermediates: [...model.intermediates!, ...model.trust] };
    },
    'to the second of two trusted CAs of one name': async () => {
      const model = await twoSteps({});
      return { ...model, trust: [await ca('Root'), ...model.trust] };
    },
    'past a namesake with another key in the certificate file': async () => {
      const model = await threeSteps({}, {});
      return { ...model, intermediates: [await ca('Intermediate'), ...model.intermediates!] };
    },
    'with a path length that suffices': () => threeSteps({ pathLength: 1 }, { pathLength: 0 }),
    'of RSA keys': () => threeSteps({ key: 'rsa2048' }, { key: 'rsa2048' }),
    'of P-384 keys': () => twoSteps({ key: 'p384' }),
    'of CAs that name clientAuth': () => threeSteps({}, { extendedKeyUsages: [clientAuth] }),
    'within name constraints on O': () =>
      twoSteps({ extensions: [nameConstraints([acme], [directory(name({ O: 'globex' }))])] }),
    'within name constraints on the trust domain': () =>
      twoSteps(
        { extensions: [nameConstraints([uri('example.org')], [uri('.example.com')])] },
        { alternativeNames: [spiffe] },
      ),
    'within constraints on names that it has none of': () =>
      twoSteps({ extensions: [nameConstraints([dns('example.org')], [])] }),
  };
  for (const [title, makeModel] of Object.entries(accepted)) {
    it(title, async () => {
      const model = await makeModel();
      const options = write(model);
      assert.equal(loadIdentity(options, Date.now()).identity.tenantId, 'acme');
      assert.ok(opensslAccepts(model, options), 'OpenSSL refuses what was accepted');
    });
  }
});

describe('an invalid chain is refused with the reason', () => {
  const past = { notBefore: new Date(Date.now() - 2 * dayMs), notAfter: new Date(Date.now() - dayMs) };
  const refused: Record<string, [() => Promise<ChainFiles>, RegExp, ErrorCode?]> = {
    'another CA': [
      async () => ({ ...(await twoSteps({})), trust: [await ca('Other')] }),
      /issued by 'CN=Root', who is neither trusted nor in the certificate file/,
    ],
    'another CA of the same name': [
      async () => ({ ...(await twoSteps({})), trust: [await ca('Root')] }),
      /was not signed by the 'CN=Root' that is known here, which has another key/,
    ],
    'a self-signed certificate': [
      async () => ({ leaf: await makeCertificate(), trust: [await ca('Root')] }),
      /is self-signed, so no CA vouches for it/,
    ],
    'a self-signed certificate that is trusted': [
      async () => {
        const leaf = await makeCertificate();
        return { leaf, trust: [leaf] };
      },
      /is self-signed, so no CA vouches for it/,
    ],
    'a gateway certificate that is trusted by itself': [
      async () => {
        const { leaf } = await twoSteps({});
        return { leaf, trust: [leaf] };
      },
      /neither trusted nor/,
    ],
    'a missing intermediate': [
      async () => ({ ...(await threeSteps({}, {})), intermediates: [] }),
      /issued by 'CN=Intermediate', who is neither/,
    ],
    'a missing upper intermediate': [
      async () => {
        const root = await ca('Root');
        const upper = await ca('Upper', {}, root);
        const lower = await ca('Lower', {}, upper);
        return { leaf: await makeCertificate({}, lower), intermediates: [lower], trust: [root] };
      },
      /its issuer 'CN=Lower' was issued by 'CN=Upper', who is neither/,
    ],
    'a root that is in the certificate file only': [
      async () => {
        const model = await threeSteps({}, {});
        return {
          ...model,
          intermediates: [...model.intermediates!, ...model.trust],
          trust: [await ca('Other')],
        };
      },
      /its issuer 'CN=Root' is self-signed, and not among the trusted CAs/,
    ],
    'an expired intermediate': [
      () => threeSteps({}, past),
      /its issuer 'CN=Intermediate' expired/,
      'IdentityOutOfTime',
    ],
    'an expired root': [() => threeSteps(past, {}), /its issuer 'CN=Root' expired/, 'IdentityOutOfTime'],
    'an intermediate that is not valid yet': [
      () => threeSteps({}, { notBefore: new Date(Date.now() + dayMs) }),
      /its issuer 'CN=Intermediate' is not valid before/,
      'IdentityOutOfTime',
    ],
    "another gateway's certificate as issuer": [
      () =>
        threeSteps(
          {},
          { authority: false, extendedKeyUsages: [clientAuth], subject: name({ O: 'globex' }, { CN: 'g' }) },
        ),
      /its issuer 'CN=g' is not a CA/,
    ],
    'a CA whose key usage is not to sign': [
      () => threeSteps({}, { keyUsages: digitalSignature }),
      /'CN=Intermediate' may not sign certificates/,
    ],
    'a CA for servers only': [
      () => threeSteps({}, { extendedKeyUsages: [serverAuth] }),
      /'CN=Intermediate' may not issue for clientAuth/,
    ],
    'a path length that is too short': [
      () => threeSteps({ pathLength: 0 }, {}),
      /'CN=Root' allows 0 CAs below it, and there are 1/,
    ],
    'a CA with an unknown critical extension': [
      () => twoSteps({ extensions: [extension('1.2.3.4', true, Buffer.from([5, 0]))] }),
      /'CN=Root' has a critical extension that is not known here/,
    ],
    'a CA with a weak key': [() => twoSteps({ key: 'rsa1024' }), /'CN=Root' has a key that is too weak/],
    'a signature over SHA-1': [
      () => twoSteps({}, { hash: 'SHA-1' }),
      /'CN=Root' signed 'CN=acme_gw-0001' with ecdsa-with-SHA1/,
    ],
    "a name constraint to another tenant's O": [
      () => twoSteps({ extensions: [nameConstraints([directory(name({ O: 'globex' }))], [])] }),
      /'CN=Root' permits no such subject as that of 'CN=acme_gw-0001'/,
    ],
    'a name constraint on O that only differs in letter case': [
      () => twoSteps({ extensions: [nameConstraints([directory(name({ O: 'ACME' }))], [])] }),
      /permits no such subject/,
    ],
    'an excluded O': [
      () => twoSteps({ extensions: [nameConstraints([], [acme])] }),
      /excludes such a subject/,
    ],
    'an excluded O in other letter case': [
      () => twoSteps({ extensions: [nameConstraints([], [directory(name({ O: 'Acme' }))])] }),
      /excludes such a subject/,
    ],
    'a name constraint of the root, over an intermediate': [
      () =>
        threeSteps(
          { extensions: [nameConstraints([directory(name({ O: 'globex' }))], [])] },
          { subject: name({ O: 'globex' }) },
        ),
      /'CN=Root' permits no such subject as that of 'CN=acme_gw-0001'/,
    ],
    'a name constraint to another trust domain': [
      () =>
        twoSteps({ extensions: [nameConstraints([uri('example.com')], [])] }, { alternativeNames: [spiffe] }),
      /permits no such alternative name/,
    ],
    'an excluded trust domain': [
      () =>
        twoSteps({ extensions: [nameConstraints([], [uri('example.org')])] }, { alternativeNames: [spiffe] }),
      /excludes such an alternative name/,
    ],
    'a constraint on names that are not compared here': [
      () =>
        twoSteps(
          { extensions: [nameConstraints([dns('example.org')], [])] },
          { alternativeNames: [dns('example.org')] },
        ),
      /permits no such alternative name/,
    ],
    'a chain that is too long': [
      async () => {
        const root = await ca('Root');
        const between: Holder[] = [];
        for (let step = 0; step < 5; step++)
          between.push(await ca(`Step ${step}`, {}, between.at(-1) ?? root));
        return { leaf: await makeCertificate({}, between.at(-1)), intermediates: between, trust: [root] };
      },
      /its chain is too long/,
    ],
    'two CAs that issued each other': [
      async () => {
        const one = await ca('One');
        const two = await ca('Two', {}, one);
        const again = await makeAuthority({ subject: one.subject }, two);
        return {
          leaf: await makeCertificate({}, two),
          intermediates: [two, again],
          trust: [await ca('Other')],
        };
      },
      /neither trusted nor|another key/,
    ],
  };
  for (const [title, [makeModel, reason, code = 'IdentityUntrusted']] of Object.entries(refused)) {
    it(title, async () => {
      const options = write(await makeModel());
      assert.throws(
        () => loadIdentity(options, Date.now()),
        (error: unknown) => {
          assert.ok(error instanceof MerestoneError, String(error));
          assert.match(error.message, reason);
          assert.equal(error.code, code);
          return true;
        },
      );
    });
  }
});
