import assert from 'node:assert/strict';
import { sign, X509Certificate } from 'node:crypto';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { MerestoneError } from '../../src/base/error.ts';
import { parseCertificate } from '../../src/identity/certificate.ts';
import type { Certificate } from '../../src/identity/certificate.ts';
import { readElement, readElements, Tag } from '../../src/identity/der.ts';
import { parsePem } from '../../src/identity/pem.ts';
import { TenantIdentity } from '../../src/identity/tenant-identity.ts';
import { der, dns, makeAuthority, makeCertificate, name, uri } from '../support/pki.ts';
import type { Holder, Shape } from '../support/pki.ts';

/** One change at a place from 0 to 1 of the whole. */
type Mutation = { at: number } & (
  | { act: 'flip'; bit: number }
  | { act: 'set'; byte: number }
  | { act: 'insert' | 'splice'; bytes: Uint8Array }
  | { act: 'remove'; count: number }
  | { act: 'swap'; with: number }
  | { act: 'truncate' }
);

const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
/** Bytes that mean something in a certificate: tags, the O and CN types, tenants' names. */
const telling = fc.constantFrom(
  ...[0x30, 0x31, 0x0c, 0x13, 0x1e, 0x80, 0x86, 0xa3, 0, 1, 0xff].map((byte) => Buffer.from([byte])),
  name({ O: 'globex' }).subarray(2),
  name({ O: 'globex' }).subarray(4),
  Buffer.from('globex'),
  Buffer.from('spiffe://example.org/tenant/globex/gateway/globex_1'),
);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant('flip'), at: place, bit: fc.nat(7) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('set'), at: place, byte: fc.nat(255) }) },
  fc.record({
    act: fc.constantFrom('insert', 'splice'),
    at: place,
    bytes: fc.oneof(telling, fc.uint8Array({ minLength: 1, maxLength: 8 })),
  }),
  fc.record({ act: fc.constant('remove'), at: place, count: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ act: fc.constant('swap'), at: place, with: place }),
  fc.record({ act: fc.constant('truncate'), at: place }),
) as fc.Arbitrary<Mutation>;
const mutations = fc.array(mutation, { minLength: 1, maxLength: 3 });

function mutate(bytes: Buffer, changes: readonly Mutation[]): Buffer {
  return changes.reduce((before, change) => {
    const at = Math.floor(change.at * before.length);
    const copy = Buffer.from(before);
    switch (change.act) {
      case 'flip':
        copy[at]! ^= 1 << change.bit;
        return copy;
      case 'set':
        copy[at] = change.byte;
        return copy;
      case 'insert':
        return Buffer.concat([copy.subarray(0, at), change.bytes, copy.subarray(at)]);
      case 'splice':
        return Buffer.concat([copy.subarray(0, at), change.bytes, copy.subarray(at + change.bytes.length)]);
      case 'remove':
        return Buffer.concat([copy.subarray(0, at), copy.subarray(at + change.count)]);
      case 'swap': {
        const other = Math.floor(change.with * before.length);
        [copy[at], copy[other]] = [copy[other]!, copy[at]!];
        return copy;
      }
      case 'truncate':
        return copy.subarray(0, at);
    }
  }, bytes);
}

const shapes: Shape[] = [
  {},
  { alternativeNames: [dns('gw'), uri('spiffe://example.org/tenant/acme/gateway/acme_gw-0001')] },
  { subject: name({ C: 'DE' }, { O: 'acme' }, { OU: 'roof' }, { CN: 'acme_gw-0001' }), key: 'rsa2048' },
];
let authority: Holder;
let anchor: Certificate;
let leaves: Holder[];

before(async () => {
  authority = await makeAuthority();
  anchor = parseCertificate(authority.der, 'ca.crt');
  leaves = await Promise.all(shapes.map((shape) => makeCertificate(shape, authority)));
});

/** Who the bytes make this gateway, or undefined where they are refused, as they may be in one way only. */
function verify(bytes: Buffer, anchors: readonly Certificate[]): TenantIdentity | undefined {
  try {
    const leaf = parseCertificate(bytes, 'gateway.crt');
    return TenantIdentity.verify({ leaf, intermediates: [], anchors, nowMs: Date.now() });
  } catch (error) {
    if (error instanceof MerestoneError) return undefined;
    throw error;
  }
}

/** The certificate with its inside changed, and signed again by a CA that doesn't look at what it signs. */
function resign(bytes: Buffer, changes: readonly Mutation[]): Buffer {
  const [tbs, algorithm] = readElements(readElement(bytes, Tag.Sequence).content);
  const changed = mutate(tbs!.encoding, changes);
  const signature = sign('sha256', changed, authority.privateKeyPem);
  return der(0x30, changed, algorithm!.encoding, der(0x03, Buffer.from([0]), signature));
}

/** What OpenSSL's rendering of the subject, as other programs read it, says of one attribute. */
function opensslValues(bytes: Buffer, part: 'O' | 'CN'): string[] {
  const lines = new X509Certificate(bytes).subject.split('\n');
  return lines.filter((line) => line.startsWith(`${part}=`)).map((line) => line.slice(part.length + 1));
}

describe('a mutated certificate', () => {
  it('is never accepted as another tenant or gateway, 20,000 times', () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.nat(shapes.length - 1), mutations, (which, changes) => {
        const original = leaves[which]!.der;
        const mutated = mutate(original, changes);
        const identity = verify(mutated, [anchor]);
        if (identity === undefined) return;
        if (!mutated.equals(original)) accepted += 1;
        assert.equal(identity.tenantId, 'acme');
        assert.equal(identity.gatewayId, 'acme_gw-0001');
      }),
      { numRuns: 20_000 },
    );
    assert.equal(accepted, 0);
  });

  it('that its CA signs again names the same holder as OpenSSL reads, 15,000 times', () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.nat(shapes.length - 1), mutations, (which, changes) => {
        const mutated = resign(leaves[which]!.der, changes);
        const identity = verify(mutated, [anchor]);
        if (identity === undefined) return;
        accepted += 1;
        assert.deepEqual(opensslValues(mutated, 'O'), [identity.tenantId]);
        assert.deepEqual(opensslValues(mutated, 'CN'), [identity.gatewayId]);
      }),
      { numRuns: 15_000 },
    );
    assert.ok(accepted > 100, `only ${accepted} were accepted, so the comparison says little`);
  });

  it('of the trusted CA makes no certificate trusted, 10,000 times', () => {
    fc.assert(
      fc.property(mutations, (changes) => {
        const mutated = mutate(authority.der, changes);
        if (mutated.equals(authority.der)) return;
        let forged: Certificate;
        try {
          forged = parseCertificate(mutated, 'ca.crt');
        } catch (error) {
          assert.ok(error instanceof MerestoneError);
          return;
        }
        const identity = verify(leaves[0]!.der, [forged]);
        assert.ok(identity === undefined || identity.tenantId === 'acme');
      }),
      { numRuns: 10_000 },
    );
  });

  it('in PEM is read or refused, 5,000 times', () => {
    const text = Buffer.from(leaves[0]!.certificatePem + authority.certificatePem);
    fc.assert(
      fc.property(mutations, (changes) => {
        const mutated = Buffer.from(mutate(text, changes));
        try {
          for (const { der } of parsePem(mutated, 'gateway.crt')) verify(der, [anchor]);
        } catch (error) {
          assert.ok(error instanceof MerestoneError);
        }
      }),
      { numRuns: 5000 },
    );
  });
});
