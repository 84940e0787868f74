import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { promisify } from 'node:util';
import { until } from '../support/until.ts';
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
} from '../../src/simulator/certificate-authority.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { dns, type Holder, makeAuthority, makeCertificate, name, serverAuth, uri } from '../support/pki.ts';
import { gatewayRequest, Rig } from './rig.ts';

describe('trust in the broker’s certificate', () => {
  let clients: Authority;
  let gateway: IssuedCertificate;
  let folder: string;
  let root: Holder;
  let issuing: Holder;
  let leaf: Holder;

  const path = (file: string): string => join(folder, file);
  const serverShape = {
    subject: name({ CN: 'broker' }),
    alternativeNames: [dns('localhost')],
    extendedKeyUsages: [serverAuth],
  };

  before(async () => {
    clients = await createAuthority('Gateways CA');
    gateway = await clients.issue(gatewayRequest);
    folder = await mkdtemp(join(tmpdir(), 'broker-trust-'));
    root = await makeAuthority({ subject: name({ CN: 'Root CA' }) });
    issuing = await makeAuthority({ subject: name({ CN: 'Issuing CA' }) }, root);
    leaf = await makeCertificate(serverShape, issuing);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** A broker that shows this chain. */
  function brokerWith(first: Holder, ...chain: Holder[]): Promise<Mosquitto> {
    const certificatePem = [first, ...chain].map((each) => each.certificatePem).join('');
    const certificate = { certificatePem, privateKeyPem: first.privateKeyPem };
    return Mosquitto.start({ authority: clients, certificate });
  }

  async function rigWith(broker: Mosquitto, caText: string): Promise<Rig> {
    await writeFile(path('ca.crt'), caText);
    return new Rig({ url: broker.url, ca: path('ca.crt') }, gateway);
  }

  it('goes by any CA in the file: the root, the issuing one, both, or the certificate itself', async () => {
    await using broker = await brokerWith(leaf, issuing);
    for (const trusted of [[root], [issuing], [root, issuing], [leaf]]) {
      await using rig = await rigWith(broker, trusted.map((each) => each.certificatePem).join(''));
      await rig.ready();
    }
    await using alone = await brokerWith(leaf);
    await using rig = await rigWith(alone, issuing.certificatePem);
    await rig.ready();
  });

  it('names a chain that is not sent, one that ends too early, another root, and a CA with another key', async () => {
    const other = await makeAuthority({ subject: name({ CN: 'Other CA' }) });
    const lower = await makeAuthority({ subject: name({ CN: 'Lower CA' }) }, issuing);
    const deep = await makeCertificate(serverShape, lower);
    const renewed = await makeAuthority({ subject: name({ CN: 'Issuing CA' }) }, root);
    const selfSigned = await makeCertificate(serverShape);
    const from = String.raw`its certificate does not come from a CA in .*ca\.crt`;
    const cases: [Holder[], Holder, string][] = [
      [
        [leaf],
        root,
        'and it sends no chain that leads there; have the broker send its intermediate CAs .*, CN=Issuing CA,',
      ],
      [
        [deep, lower],
        root,
        'the chain that it sends ends below it; put the CA that issued the last .*, CN=Issuing CA,',
      ],
      [[leaf, issuing, root], other, 'its chain leads to another root'],
      [[selfSigned], root, 'it is self-signed; give the broker a certificate of a CA, or put this very'],
      [[leaf], renewed, 'another key; put the CA’s present certificate|sends no chain that leads there'],
    ];
    for (const [[first, ...chain], trusted, words] of cases) {
      await using broker = await brokerWith(first!, ...chain);
      await using rig = await rigWith(broker, trusted.certificatePem);
      await rig.reason(new RegExp(`${from}.*(${words})`));
      assert.equal(rig.readies, 0);
    }
  });

  it('reads a CA file that an editor has indented, or with words and carriage returns in it', async () => {
    await using broker = await brokerWith(leaf, issuing);
    const lines = root.certificatePem.split('\n');
    const texts = [
      lines.map((line) => `      ${line}`).join('\n'),
      lines.join('\r\n'),
      `\uFEFF# CA of the broker\nsubject=CN = Root CA\n${root.certificatePem}\nend`,
    ];
    for (const text of texts) {
      await using rig = await rigWith(broker, text);
      await rig.ready();
    }
  });

  it('says which CA file cannot be used, and why', async () => {
    await using broker = await brokerWith(leaf, issuing);
    const damaged = root.certificatePem.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
    const cases: [string, RegExp][] = [
      ['', /ca\.crt: holds no certificate; point uplink\.ca at/],
      ['x'.repeat(1_000_001), /is no file of certificates/],
      [damaged, /holds a certificate that is damaged or cut short; copy the file again, whole/],
      [root.certificatePem.slice(0, 300), /damaged or cut short/],
      [`${root.certificatePem}${root.certificatePem.slice(0, 300)}`, /damaged or cut short/],
      [root.certificatePem.replaceAll('\n', '\\n'), /damaged or cut short/],
    ];
    for (const [text, words] of cases) {
      await using rig = await rigWith(broker, text);
      await rig.reason(words);
    }
    await using folderRig = new Rig({ url: broker.url, ca: folder }, gateway);
    await folderRig.reason(/is no file of certificates/);
  });

  it('takes no certificate by its CN, nor by a name that is no host’s', async () => {
    const nameless = await makeCertificate(
      { subject: name({ CN: 'localhost' }), extendedKeyUsages: [serverAuth] },
      issuing,
    );
    const otherwise = await makeCertificate(
      { ...serverShape, subject: name({ CN: 'localhost' }), alternativeNames: [uri('urn:localhost')] },
      issuing,
    );
    await using byCn = await brokerWith(nameless, issuing);
    await using first = await rigWith(byCn, root.certificatePem);
    await first.reason(
      /is for no name at all, so it cannot be for localhost; have it issued with localhost as a subject/,
    );
    await using byUri = await brokerWith(otherwise, issuing);
    await using second = await rigWith(byUri, root.certificatePem);
    await second.reason(/its certificate is for URI:urn:localhost, not for localhost/);
    assert.equal(first.readies + second.readies, 0);
  });

  it('speaks no suite without forward secrecy, nor one without authenticated encryption', async () => {
    const rsa = await makeCertificate({ ...serverShape, key: 'rsa2048' }, issuing);
    for (const [suite, isTaken] of [
      ['ECDHE-RSA-AES128-GCM-SHA256', true],
      ['DHE-RSA-AES256-GCM-SHA384', true],
      ['AES128-GCM-SHA256', false],
      ['AES256-SHA', false],
      ['ECDHE-RSA-AES128-SHA', false],
    ] as const) {
      const options = { cert: rsa.certificatePem + issuing.certificatePem, key: rsa.privateKeyPem };
      const server = createServer({
        ...options,
        ciphers: `${suite}:@SECLEVEL=0`,
        dhparam: 'auto',
        maxVersion: 'TLSv1.2',
      });
      let spoken: string | undefined;
      server.on('secureConnection', (socket) => {
        spoken = socket.getCipher().name;
        socket.on('error', () => {}).destroy();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      await writeFile(path('ca.crt'), root.certificatePem);
      const { port } = server.address() as AddressInfo;
      await using rig = new Rig({ url: `mqtts://localhost:${port}`, ca: path('ca.crt') }, gateway);
      if (isTaken) await until(() => spoken !== undefined, `a connection by ${suite}`);
      else await rig.reason(/handshake|cipher|suite/i);
      server.close();
      assert.equal(spoken, isTaken ? suite : undefined);
    }
  });

  it('names a certificate that is too weak', async () => {
    const args = (words: string): string[] => words.split(' ');
    const openssl = (words: string): Promise<unknown> => promisify(execFile)('openssl', args(words));
    await openssl(
      `req -x509 -newkey rsa:1024 -nodes -keyout ${path('weak.key')} -out ${path('weak.crt')} -days 1 -subj /CN=weak -addext subjectAltName=DNS:localhost`,
    );
    const certificatePem = await readFile(path('weak.crt'), 'utf8');
    const privateKeyPem = await readFile(path('weak.key'), 'utf8');
    await using broker = await Mosquitto.start({
      authority: clients,
      certificate: { certificatePem, privateKeyPem },
      config: ['ciphers DEFAULT@SECLEVEL=0'],
    });
    await using rig = await rigWith(broker, certificatePem);
    await rig.reason(/no good|too small|too weak/);
    assert.equal(rig.readies, 0);
  });
});
