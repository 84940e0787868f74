import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { rootCertificates } from 'node:tls';
import type { VouchFor } from '../../src/backend/signature.ts';
import { describeError } from '../../src/base/error.ts';
import { loadGatewayTrust } from '../../src/cli/gateway-trust.ts';
import { parseCertificate } from '../../src/identity/certificate.ts';
import type { Certificate } from '../../src/identity/certificate.ts';
import { loadIdentity } from '../../src/identity/load-identity.ts';
import {
  der,
  directory,
  dns,
  makeAuthority,
  makeCertificate,
  name,
  uri,
  writeIdentity,
} from '../support/pki.ts';
import type { Holder } from '../support/pki.ts';
import { mutations } from '../support/mutation.ts';
import { Part, rewrite, rewriteExtensions, withExtension } from '../support/rewritten-certificate.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const folder = temporaryDirectory({ after });

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const no = Buffer.from([0x00]);
const yes = der(0x01, Buffer.from([0xff]));
const oid = der(0x06, Buffer.from([0x2a, 0x03]));
const acme = directory(name({ O: 'acme' }));
const subtree = (base: Buffer): Buffer => der(0x30, base);

let root: Holder;
let between: Holder;
let leaf: Holder;
let vouchFor: VouchFor;

before(async () => {
  root = await makeAuthority({ subject: name({ CN: 'Root' }) });
  between = await makeAuthority({ subject: name({ CN: 'Between' }) }, root);
  leaf = await makeCertificate({ alternativeNames: [dns('gw')] }, between);
  writeFileSync(join(folder, 'root.crt'), root.certificatePem);
  vouchFor = loadGatewayTrust([join(folder, 'root.crt')]);
});

const pemOf = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`;

/** Why gateway and backend refuse a chain; both must do the same. */
function refusal(gateway: Buffer, authority: Buffer): string | undefined {
  const files = { certificate: pemOf(gateway) + pemOf(authority), privateKey: leaf.privateKeyPem };
  const options = writeIdentity(folder, { ...files, trust: root.certificatePem });
  const [onTheBox, atTheBackend] = [
    () => loadIdentity(options, Date.now()),
    () => vouchFor([gateway, authority], 'acme', Date.now()),
  ].map(reasonOf);
  const file = `${join(folder, 'gateway.crt')}: `;
  assert.equal(onTheBox?.replace(file, 'x5c: '), atTheBackend);
  return onTheBox;
}

function reasonOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** Number of 2.5.29's extension. */
const [subjectKey, keyUsage, alternativeName, basic, constraints, authorityKey, extendedUsage] = [
  14, 15, 17, 19, 30, 35, 37,
] as const;
type Row = [title: string, extension: number, value: Buffer, reason: RegExp];

const long = (content: Buffer): Buffer =>
  Buffer.concat([hex('30 81'), Buffer.from([content.length]), content]);
const permitted = der(0xa0, subtree(acme));
const excluded = der(0xa1, subtree(directory(name({ O: 'globex' }))));

/** In the CA between: what limits, or seems to. */
const authorityRows: Row[] = [
  ['NULL in name constraints', constraints, hex('30 02 05 00'), /name constraints with tag 0x05 where/],
  ['empty name constraints', constraints, hex('30 00'), /name constraints that constrain nothing/],
  ['name constraints that are no SEQUENCE', constraints, hex('05 00'), /expected tag 0x30, found 0x05/],
  ['name constraints of no bytes', constraints, Buffer.alloc(0), /expected one element/],
  ['a part [2] of name constraints', constraints, der(0x30, permitted, hex('a2 00')), /tag 0xa2 where/],
  ['a primitive [0] in name constraints', constraints, hex('30 02 80 00'), /tag 0x80 where/],
  ['a primitive [1] in name constraints', constraints, hex('30 02 81 00'), /tag 0x81 where/],
  ['[0] twice in name constraints', constraints, der(0x30, permitted, permitted), /tag 0xa0 where/],
  ['[1] twice in name constraints', constraints, der(0x30, excluded, excluded), /tag 0xa1 where/],
  ['[1] before [0] in name constraints', constraints, der(0x30, excluded, permitted), /tag 0xa0 where/],
  [
    'bytes after name constraints',
    constraints,
    Buffer.concat([der(0x30, permitted), hex('05 00')]),
    /one elem/,
  ],
  ['an element after [0] in name constraints', constraints, der(0x30, permitted, hex('05 00')), /tag 0x05/],
  ['an empty [0] in name constraints', constraints, hex('30 02 a0 00'), /an empty list/],
  ['an empty [1] in name constraints', constraints, der(0x30, permitted, hex('a1 00')), /an empty list/],
  ['NULL as a subtree', constraints, der(0x30, der(0xa0, hex('05 00'))), /expected tag 0x30, found 0x05/],
  ['an empty subtree', constraints, der(0x30, der(0xa0, hex('30 00'))), /a name constraint that ends/],
  [
    'a subtree with its minimum',
    constraints,
    der(0x30, der(0xa0, der(0x30, acme, hex('80 01 00')))),
    /tag 0x80/,
  ],
  [
    'a subtree with a maximum',
    constraints,
    der(0x30, der(0xa0, der(0x30, acme, hex('81 01 01')))),
    /tag 0x81/,
  ],
  [
    'a subtree of a name without its [4]',
    constraints,
    der(0x30, der(0xa0, subtree(name({ O: 'acme' })))),
    /shape/,
  ],
  ['a subtree of two names', constraints, der(0x30, der(0xa0, der(0x30, acme, acme))), /tag 0xa4 where/],
  [
    'a URI as a URI constraint',
    constraints,
    der(0x30, der(0xa0, subtree(uri('spiffe://example.org')))),
    /no host/,
  ],
  [
    'an IP constraint without its mask',
    constraints,
    der(0x30, der(0xa0, subtree(der(0x87, hex('0a000000'))))),
    /IP/,
  ],
  [
    'an IP mask with holes',
    constraints,
    der(0x30, der(0xa0, subtree(der(0x87, hex('0a000000 ff00ff00'))))),
    /holes/,
  ],
  ['name constraints in a long form', constraints, long(permitted), /a length with needless bytes/],
  [
    'a name constraint on an unknown kind [9]',
    constraints,
    der(0x30, der(0xa0, subtree(hex('89 00')))),
    /shape/,
  ],

  ['an explicit FALSE', basic, hex('30 03 01 01 00'), /an explicit FALSE in basicConstraints/],
  ['a TRUE of 0x01', basic, hex('30 03 01 01 01'), /a BOOLEAN in basicConstraints .* that is not TRUE/],
  ['a BOOLEAN of two bytes', basic, hex('30 04 01 02 ff ff'), /that is not TRUE/],
  ['a BOOLEAN of no byte', basic, hex('30 02 01 00'), /that is not TRUE/],
  ['a negative path length', basic, hex('30 06 01 01 ff 02 01 ff'), /an INTEGER out of range/],
  ['a huge path length', basic, hex('30 0a 01 01 ff 02 05 01 00 00 00 00'), /an INTEGER out of range/],
  ['a path length with a needless zero', basic, hex('30 07 01 01 ff 02 02 00 05'), /needless zero/],
  ['a path length of no byte', basic, hex('30 05 01 01 ff 02 00'), /an INTEGER out of range/],
  ['two path lengths', basic, hex('30 09 01 01 ff 02 01 01 02 01 01'), /basicConstraints with tag 0x02/],
  ['a path length before CA', basic, hex('30 06 02 01 01 01 01 ff'), /basicConstraints with tag 0x01/],
  ['a path length without CA', basic, hex('30 03 02 01 01'), /a path length for a certificate that is no CA/],
  ['NULL after CA', basic, hex('30 05 01 01 ff 05 00'), /basicConstraints with tag 0x05/],
  ['bytes after basicConstraints', basic, hex('30 03 01 01 ff 00 00'), /expected one element/],
  ['basicConstraints of indefinite length', basic, hex('30 80 01 01 ff 00 00'), /a length of no fixed size/],
  ['basicConstraints in a long form', basic, long(yes), /a length with needless bytes/],
];

/** In the gateway's own. */
const leafRows: Row[] = [
  [
    'name constraints where there is no CA',
    constraints,
    der(0x30, permitted),
    /in a certificate that is no CA/,
  ],
  ['a key usage of no bits', keyUsage, hex('03 01 00'), /a key usage that allows nothing/],
  ['a key usage whose unused bits are set', keyUsage, hex('03 02 07 ff'), /whose unused bits are set/],
  ['a key usage with nine unused bits', keyUsage, hex('03 02 09 80'), /without its count of unused bits/],
  ['a key usage with unused bits of none', keyUsage, hex('03 01 07'), /without its count of unused bits/],
  ['a key usage with bytes behind', keyUsage, hex('03 02 07 80 00'), /cut short|expected one element/],
  ['a constructed key usage', keyUsage, hex('23 04 03 02 07 80'), /expected tag 0x03, found 0x23/],
  ['an empty extended key usage', extendedUsage, hex('30 00'), /an extended key usage that allows nothing/],
  ['NULL in an extended key usage', extendedUsage, hex('30 02 05 00'), /expected tag 0x06, found 0x05/],
  ['an OID with a needless zero', extendedUsage, hex('30 04 06 02 80 01'), /needless zero/],
  ['an OID cut short', extendedUsage, hex('30 04 06 02 2a 83'), /cut short/],
  ['an OID of no bytes', extendedUsage, hex('30 02 06 00'), /cut short/],
  ['no alternative name', alternativeName, hex('30 00'), /a subject alternative name without a name/],
  ['alternative names that are a SET', alternativeName, der(0x31, dns('a')), /expected tag 0x30/],
  ['an alternative name [9]', alternativeName, der(0x30, hex('89 01 61')), /of the wrong shape/],
  ['a constructed DNS name', alternativeName, der(0x30, hex('a2 03 16 01 61')), /of the wrong shape/],
  ['an empty DNS name', alternativeName, der(0x30, dns('')), /an empty alternative name/],
  ['an empty e-mail address', alternativeName, der(0x30, der(0x81)), /an empty alternative name/],
  ['a DNS name that is not ASCII', alternativeName, der(0x30, dns('gw\xe4')), /not ASCII/],
  ['a URI that is not ASCII', alternativeName, der(0x30, uri('spiffe://\xe4/')), /not ASCII/],
  ['an IP address of five bytes', alternativeName, der(0x30, hex('87 05 0a 00 00 01 00')), /IP address/],
  [
    'an IP address with a mask',
    alternativeName,
    der(0x30, hex('87 08 0a 00 00 01 ff ff ff 00')),
    /IP address/,
  ],
  ['a primitive other name', alternativeName, der(0x30, hex('80 00')), /of the wrong shape/],
  ['an other name without its value', alternativeName, der(0x30, der(0xa0, oid)), /an other name that ends/],
  [
    'an other name of two values',
    alternativeName,
    der(0x30, der(0xa0, oid, hex('a0 04 05 00 05 00'))),
    /other name/,
  ],
  [
    'an other name without its type',
    alternativeName,
    der(0x30, der(0xa0, hex('a0 02 05 00'))),
    /an other name/,
  ],
  ['an empty directory name', alternativeName, der(0x30, directory(hex('30 00'))), /an empty directory name/],
  [
    'a directory name of two names',
    alternativeName,
    der(0x30, der(0xa4, name({ O: 'a' }), name({ O: 'a' }))),
    /one/,
  ],
  [
    'an empty relative name',
    alternativeName,
    der(0x30, directory(hex('30 02 31 00'))),
    /an empty relative name/,
  ],
  ['a registered id of no bytes', alternativeName, der(0x30, hex('88 00')), /cut short/],
  ['a subject key identifier of no bytes', subjectKey, hex('04 00'), /an empty subject key identifier/],
  ['a subject key identifier that is an INTEGER', subjectKey, hex('02 01 01'), /expected tag 0x04/],
  ['bytes after a subject key identifier', subjectKey, hex('04 01 01 00'), /cut short|one element/],
  ['an authority key identifier that is bytes', authorityKey, hex('04 01 01'), /expected tag 0x30/],
  ['an authority key identifier with [3]', authorityKey, hex('30 02 83 00'), /tag 0x83 where/],
  [
    'an authority key identifier with [0] twice',
    authorityKey,
    hex('30 06 80 01 01 80 01 01'),
    /tag 0x80 where/,
  ],
  ['an issuer without its serial number', authorityKey, der(0x30, der(0xa1, acme)), /half of issuer/],
  ['a serial number without its issuer', authorityKey, hex('30 03 82 01 01'), /half of issuer/],
  ['an empty key identifier', authorityKey, hex('30 02 80 00'), /that is empty/],
];

describe('an extension that violates RFC 5280 is refused on the box and at the backend', () => {
  for (const [title, number, value, reason] of authorityRows) {
    it(`in a CA: ${title}`, () => {
      assert.match(refusal(leaf.der, withExtension(between.der, root, number, value)) ?? 'accepted', reason);
    });
  }
  for (const [title, number, value, reason] of leafRows) {
    it(`in a gateway's: ${title}`, () => {
      assert.match(
        refusal(withExtension(leaf.der, between, number, value), between.der) ?? 'accepted',
        reason,
      );
    });
  }
});

const key = der(0x06, Buffer.from([0x55, 0x1d, subjectKey]));
type Rewriting = [title: string, change: () => Buffer, reason: RegExp];
const extensionsAs = (change: (extensions: Buffer[]) => Buffer[]) => (): Buffer =>
  rewriteExtensions(leaf.der, between, change);
const partsAs = (change: (parts: Buffer[]) => Buffer[]) => (): Buffer => rewrite(leaf.der, between, change);
const validity = (from: string, to: string, tag = 0x17): Buffer =>
  der(0x30, der(tag, Buffer.from(from)), der(tag, Buffer.from(to)));

const rewritings: Rewriting[] = [
  ['an extension twice', extensionsAs((all) => [...all, all[1]!]), /two extensions 2\.5\.29\.15/],
  ['no extension in the list', extensionsAs(() => []), /a list of extensions that is empty/],
  [
    'a critical flag that is FALSE',
    extensionsAs((all) => [...all, der(0x30, oid, der(0x01, no), der(0x04))]),
    /FALSE/,
  ],
  [
    'a critical flag of 0x01',
    extensionsAs((all) => [...all, der(0x30, oid, hex('010101'), der(0x04))]),
    /not TRUE/,
  ],
  [
    'two critical flags',
    extensionsAs((all) => [...all, der(0x30, oid, yes, yes, der(0x04))]),
    /an extension with/,
  ],
  ['two values', extensionsAs((all) => [...all, der(0x30, oid, der(0x04), der(0x04))]), /an extension with/],
  ['no value', extensionsAs((all) => [...all, der(0x30, oid)]), /an extension that ends too early/],
  [
    'a value that is a SEQUENCE',
    extensionsAs((all) => [...all, der(0x30, oid, der(0x30))]),
    /an extension with/,
  ],
  [
    'an unknown critical extension',
    extensionsAs((all) => [...all, der(0x30, oid, yes, der(0x04))]),
    /not known here/,
  ],
  [
    'a critical key identifier',
    extensionsAs((all) => [...all.slice(0, 3), der(0x30, key, yes, der(0x04, hex('040101')))]),
    /not known here/,
  ],
  [
    'version 1 with extensions',
    partsAs(([, ...rest]) => rest),
    /extensions in a certificate before version 3/,
  ],
  ['version 4', partsAs((parts) => parts.with(Part.Version, hex('a0 03 02 01 03'))), /version 4/],
  [
    'a part behind the extensions',
    partsAs((parts) => [...parts, hex('05 00')]),
    /a certificate with tag 0x05/,
  ],
  [
    'extensions twice',
    partsAs((parts) => [...parts, parts[Part.Extensions]!]),
    /a certificate with tag 0xa3/,
  ],
  [
    'an issuer without a name',
    partsAs((parts) => parts.with(Part.Issuer, hex('30 00'))),
    /an issuer without/,
  ],
  [
    'times without seconds',
    partsAs((p) => p.with(Part.Validity, validity('2501010000Z', '3501010000Z'))),
    /time/,
  ],
  [
    'times of a zone',
    partsAs((p) => p.with(Part.Validity, validity('2501010000+0100', '3501010000+0100'))),
    /time/,
  ],
  [
    'times with fractions',
    partsAs((p) => p.with(Part.Validity, validity('20250101000000.5Z', '20350101000000.5Z', 0x18))),
    /a time/,
  ],
];

describe('a certificate whose outer structure violates RFC 5280 is refused on the box and at the backend', () => {
  for (const [title, change, reason] of rewritings) {
    it(title, () => assert.match(refusal(change(), between.der) ?? 'accepted', reason));
  }

  it('different signature algorithms outside and inside', () => {
    const other = der(0x30, hex('06 08 2a 86 48 ce 3d 04 03 03'));
    const bytes = rewrite(leaf.der, between, (parts) => parts.with(Part.Algorithm, other));
    assert.match(refusal(bytes, between.der) ?? 'accepted', /two different signature algorithms/);
  });
});

/** What is read, written again: were a part skipped, its bytes would be missing. */
const writers: Record<number, (certificate: Certificate) => Buffer> = {
  [basic]: ({ isAuthority, pathLengthMax: n }) =>
    der(0x30, ...(isAuthority ? [yes] : []), ...(n === undefined ? [] : [integer(n)])),
  [constraints]: ({ nameConstraints }) => {
    const { permitted: some, excluded: none } = nameConstraints!;
    const list = (tag: number, names: typeof some): Buffer[] =>
      names.length === 0 ? [] : [der(tag, ...names.map((each) => subtree(writeName(each))))];
    return der(0x30, ...list(0xa0, some), ...list(0xa1, none));
  },
};

function integer(value: number): Buffer {
  const digits = value.toString(16);
  const bytes = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex');
  return der(0x02, ...(bytes[0]! > 0x7f ? [no] : []), bytes);
}

type Names = NonNullable<Certificate['nameConstraints']>['permitted'];

function writeName({ uri: host, directory: relatives = [] }: Names[number]): Buffer {
  if (host !== undefined) return uri(host);
  const sets = relatives.map((relative) =>
    der(0x31, ...relative.map(({ type, tag, value }) => der(0x30, writeOid(type), der(tag, value)))),
  );
  return directory(der(0x30, ...sets));
}

function writeOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const septets = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      septets.unshift((left % 128) + 128);
    }
    return septets;
  });
  return der(0x06, Buffer.from(bytes));
}

describe('a mutated extension', () => {
  const originals: [number, Buffer][] = [
    [basic, hex('30 06 01 01 ff 02 01 01')],
    [constraints, der(0x30, der(0xa0, subtree(acme), subtree(uri('example.org'))), excluded)],
  ];
  for (const [number, original] of originals) {
    it(`2.5.29.${number} is refused or read to its last byte, 6,000 times`, () => {
      let read = 0;
      for (const mutated of mutations(original, 6000, number)) {
        const bytes = withExtension(between.der, root, number, mutated);
        const certificate = parsedOrRefused(bytes);
        const kinds = Object.values(certificate?.nameConstraints ?? {}).flat();
        // Of the other kinds only the number is kept.
        if (certificate === undefined || kinds.some(({ kind }) => kind !== 4 && kind !== 6)) continue;
        read += 1;
        assert.equal(writers[number]!(certificate).toString('hex'), mutated.toString('hex'));
      }
      assert.ok(read > 50, `only ${read} were read, so the comparison says little`);
    });
  }
});

function parsedOrRefused(bytes: Buffer): Certificate | undefined {
  try {
    return parseCertificate(bytes, 'ca.crt');
  } catch (error) {
    assert.match(describeError(error), /no proper certificate/);
    return undefined;
  }
}

describe('certificates of real CAs are accepted', () => {
  /** Extensions as the CAs of the name write them, in openssl's words. */
  const styles: Record<string, { ca: string; gateway: string }> = {
    'openssl, with issuer and serial number in the key identifier': {
      ca: 'basicConstraints=CA:TRUE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always,issuer:always',
      gateway: `basicConstraints=CA:FALSE
authorityKeyIdentifier=keyid:always,issuer:always
subjectKeyIdentifier=hash
extendedKeyUsage=clientAuth`,
    },
    'step-ca': {
      ca: `keyUsage=critical,keyCertSign,cRLSign
basicConstraints=critical,CA:TRUE,pathlen:0
subjectKeyIdentifier=hash
nameConstraints=critical,permitted;URI:example.org,permitted;DNS:.local,permitted;email:example.org,permitted;IP:10.0.0.0/255.0.0.0`,
      gateway: `keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName=URI:spiffe://example.org/tenant/acme/gateway/acme_gw-0001
1.3.6.1.4.1.37476.9000.64.1=DER:30:13:02:01:01:04:05:61:64:6d:69:6e:04:05:6b:65:79:69:64:30:00`,
    },
    EJBCA: {
      ca: `basicConstraints=critical,CA:TRUE
authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
certificatePolicies=2.5.29.32.0
crlDistributionPoints=URI:http://ca.example.org/root.crl
keyUsage=critical,digitalSignature,keyCertSign,cRLSign
nameConstraints=critical,permitted;dirName:limit
[limit]
O=acme`,
      gateway: `basicConstraints=critical,CA:FALSE
authorityKeyIdentifier=keyid
authorityInfoAccess=OCSP;URI:http://ocsp.example.org/,caIssuers;URI:http://ca.example.org/ca.crt
extendedKeyUsage=clientAuth
crlDistributionPoints=URI:http://ca.example.org/ca.crl
subjectKeyIdentifier=hash
keyUsage=critical,digitalSignature,nonRepudiation,keyEncipherment
certificatePolicies=1.2.3.4`,
    },
    'AWS IoT': {
      ca: 'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\nbasicConstraints=critical,CA:TRUE',
      gateway: `authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth`,
    },
    Azure: {
      ca: `basicConstraints=critical,CA:TRUE,pathlen:3
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always
keyUsage=critical,digitalSignature,cRLSign,keyCertSign`,
      gateway: `basicConstraints=critical,CA:FALSE
keyUsage=critical,nonRepudiation,digitalSignature,keyEncipherment
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid,issuer
subjectAltName=DNS:acme-gw-0001,email:ops@example.org,IP:10.0.0.1,IP:fe80::1,RID:1.2.3.4
extendedKeyUsage=critical,clientAuth`,
    },
    'Microsoft AD CS': {
      ca: `1.3.6.1.4.1.311.21.1=DER:02:01:00
subjectKeyIdentifier=hash
keyUsage=digitalSignature,keyCertSign,cRLSign
basicConstraints=critical,CA:TRUE
1.3.6.1.4.1.311.20.2=DER:1e:0a:00:53:00:75:00:62:00:43:00:41`,
      gateway: `subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
crlDistributionPoints=URI:ldap:///CN=CA
1.3.6.1.4.1.311.21.7=DER:30:0c:06:04:2a:03:04:05:02:01:64:02:01:03
extendedKeyUsage=clientAuth,1.3.6.1.4.1.311.20.2.2
keyUsage=critical,digitalSignature,keyEncipherment
1.3.6.1.4.1.311.21.10=DER:30:0c:30:0a:06:08:2b:06:01:05:05:07:03:02
subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:gw@example.org,dirName:who
[who]
O=acme
CN=acme_gw-0001`,
    },
  };
  const openssl = (...words: string[]): void => {
    const { status, stderr } = spawnSync('openssl', words, {
      cwd: folder,
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(status, 0, stderr);
  };
  for (const [title, { ca, gateway }] of Object.entries(styles)) {
    it(title, () => {
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-sha256'];
      const config = '[req]\ndistinguished_name=dn\nstring_mask=utf8only\n[dn]\n';
      writeFileSync(join(folder, 'ca.cnf'), `${config}[ext]\n${ca}\n`);
      writeFileSync(join(folder, 'gw.cnf'), `${config}[ext]\n${gateway}\n`);
      const caWords = ['-config', 'ca.cnf', '-extensions', 'ext', '-keyout', 'ca.key', '-out', 'ca.crt'];
      openssl('req', '-x509', ...key, '-subj', '/CN=Honest CA', '-days', '30', ...caWords);
      const subject = ['-subj', '/O=acme/CN=acme_gw-0001'];
      openssl('req', ...key, ...subject, '-config', 'gw.cnf', '-keyout', 'gw.key', '-out', 'gw.csr');
      const issuer = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30', '-sha256'];
      const words = ['-extfile', 'gw.cnf', '-extensions', 'ext', '-out', 'gw.crt'];
      openssl('x509', '-req', '-in', 'gw.csr', ...issuer, ...words);
      openssl('verify', '-purpose', 'sslclient', '-CAfile', 'ca.crt', 'gw.crt');

      const at = (file: string): string => join(folder, file);
      const options = { certificate: at('gw.crt'), privateKey: at('gw.key'), trust: at('ca.crt') };
      const { identity } = loadIdentity(options, Date.now());
      assert.deepEqual([identity.tenantId, identity.gatewayId], ['acme', 'acme_gw-0001']);
      const base64 = readFileSync(at('gw.crt'), 'latin1').replace(/-----.*?-----/g, '');
      const signer = loadGatewayTrust([at('ca.crt')])([Buffer.from(base64, 'base64')], 'acme', Date.now());
      assert.equal(signer.gateway, 'acme_gw-0001');
    });
  }

  it('every root that Node includes', () => {
    for (const pem of rootCertificates) {
      const der = Buffer.from(pem.replace(/-----.*?-----/g, ''), 'base64');
      assert.equal(parseCertificate(der, 'roots.crt').isAuthority, true, pem);
    }
  });

  it('with trailing zero bits in a key usage, as some public CAs write them', () => {
    for (const value of ['03 02 00 80', '03 03 07 80 00', '03 02 06 80']) {
      assert.equal(refusal(withExtension(leaf.der, between, keyUsage, hex(value)), between.der), undefined);
    }
  });

  it('with every kind of GeneralName, well formed', () => {
    const names = [
      der(0xa0, oid, hex('a0 02 05 00')),
      der(0x81, Buffer.from('a@example.org')),
      dns('gw'),
      hex('a3 02 30 00'),
      acme,
      hex('a5 05 a1 03 0c 01 61'),
      uri('https://example.org/'),
      hex('87 04 0a 00 00 01'),
      hex('88 01 2a'),
    ];
    const bytes = withExtension(leaf.der, between, alternativeName, der(0x30, ...names));
    assert.equal(refusal(bytes, between.der), undefined);
  });

  it('with an empty URI constraint, which means every host', () => {
    const spiffe = uri('spiffe://example.org/tenant/acme/gateway/acme_gw-0001');
    const gateway = withExtension(leaf.der, between, alternativeName, der(0x30, spiffe));
    const limited = (tag: number): Buffer =>
      withExtension(between.der, root, constraints, der(0x30, der(tag, subtree(uri('')))));
    assert.equal(refusal(gateway, limited(0xa0)), undefined);
    assert.match(refusal(gateway, limited(0xa1)) ?? 'accepted', /excludes such an alternative name/);
  });
});
