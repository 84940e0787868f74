import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { promisify } from 'node:util';
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
} from '../../src/simulator/certificate-authority.ts';
import { connectFault } from '../../src/uplink/connect-fault.ts';
import { unwelcomeFault } from '../../src/uplink/session-fault.ts';
import { parseTarget } from '../../src/uplink/broker-target.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { clientAuth, makeCertificate, name, serverAuth } from '../support/pki.ts';
import { gatewayRequest, Rig } from './rig.ts';

const dayMs = 86_400_000;

/** Each fatal alert by its number, and what is said of it (RFC 8446 §6, RFC 5246 §7.2). */
const alerts: [number, RegExp][] = [
  [10, /TLS alert unexpected_message \(10\)/],
  [20, /TLS alert bad_record_mac \(20\)/],
  [21, /TLS alert decryption_failed \(21\)/],
  [22, /TLS alert record_overflow \(22\)/],
  [30, /TLS alert decompression_failure \(30\)/],
  [40, /no way of TLS in common with this box \(handshake_failure\); .*ECDHE/],
  [41, /it got no client certificate/],
  [42, /finds this client certificate bad/],
  [43, /does not take this kind of client certificate; .*clientAuth/],
  [44, /finds this client certificate revoked/],
  [45, /finds this client certificate expired; .*renew it/],
  [46, /does not take this client certificate/],
  [47, /TLS alert illegal_parameter \(47\)/],
  [48, /does not know the CA of this client certificate; put its CA/],
  [49, /denies this client certificate access/],
  [50, /TLS alert decode_error \(50\)/],
  [51, /cannot verify this client certificate/],
  [60, /TLS alert export_restriction \(60\)/],
  [70, /offers no TLS that is good enough; have the broker speak TLS 1\.2 or 1\.3/],
  [71, /offers no TLS that is good enough/],
  [80, /TLS alert internal_error \(80\); its log says why/],
  [86, /TLS alert inappropriate_fallback \(86\)/],
  [100, /TLS alert no_renegotiation \(100\)/],
  [109, /TLS alert missing_extension \(109\)/],
  [110, /TLS alert unsupported_extension \(110\)/],
  [111, /could not obtain this client certificate/],
  [112, /serves no broker of this name; write the name that it serves into uplink\.url/],
  [113, /TLS alert bad_certificate_status_response \(113\)/],
  [114, /finds this client certificate bad/],
  [115, /TLS alert unknown_psk_identity \(115\)/],
  [116, /it got no client certificate/],
  [120, /another application protocol \(ALPN\); set uplink\.alpn/],
  // Numbers that TLS does not know, and warnings: OpenSSL just hangs up.
  [117, /closed the connection during the TLS handshake/],
  [200, /closed the connection during the TLS handshake/],
];

/** The spellings of OpenSSL 1.1 to 3.5, and one that is still to come. */
const spellings = ['SSLV3_ALERT_', 'TLSV1_ALERT_', 'TLSV13_ALERT_', 'TLS_ALERT_', 'SSL/TLS_ALERT_'];

describe('TLS alerts of the broker', () => {
  let authority: Authority;
  let gateway: IssuedCertificate;
  let folder: string;
  let server: Server;
  let alert: number;

  before(async () => {
    authority = await createAuthority('Test CA');
    gateway = await authority.issue(gatewayRequest);
    folder = await mkdtemp(join(tmpdir(), 'tls-alerts-'));
    await writeFile(join(folder, 'ca.crt'), authority.certificatePem);
    server = createServer((socket) => {
      socket.on('error', () => {});
      // A record of type alert (21), TLS 1.2 on the wire, level fatal.
      socket.once('data', () => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, alert])));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  const ca = (): string => join(folder, 'ca.crt');
  const url = (at: { address(): unknown }): string =>
    `mqtts://127.0.0.1:${(at.address() as AddressInfo).port}`;

  it('are told in words, each of them, as OpenSSL reports it', async () => {
    for (const [number, words] of alerts) {
      alert = number;
      await using rig = new Rig({ url: url(server), ca: ca() }, gateway);
      await rig.reason(words);
    }
  });

  it('are known by their name in the spelling of any OpenSSL, before and after the handshake', () => {
    const target = parseTarget('mqtts://broker.example.com');
    const parties = { target, protocol: '5', clientId: 'acme_gw-0001' } as const;
    const names: Record<string, RegExp> = {
      CERTIFICATE_EXPIRED: /client certificate expired/,
      CERTIFICATE_REVOKED: /client certificate revoked/,
      BAD_CERTIFICATE: /client certificate bad/,
      UNKNOWN_CA: /does not know the CA/,
      CERTIFICATE_UNKNOWN: /does not take this client certificate/,
      CERTIFICATE_REQUIRED: /got no client certificate/,
      HANDSHAKE_FAILURE: /no way of TLS in common/,
      PROTOCOL_VERSION: /TLS 1\.2 or 1\.3/,
    };
    for (const [alertName, words] of Object.entries(names)) {
      for (const spelling of spellings) {
        const error = Object.assign(new Error('of the library'), { code: `ERR_SSL_${spelling}${alertName}` });
        assert.match(connectFault(error, target, 'ca.crt').describe(), words);
        assert.match(unwelcomeFault(error, parties).describe(), words);
      }
    }
  });

  describe('TLS alerts after the handshake, from a real broker that speaks TLS 1.3', () => {
    it('tell an expired certificate, one of a foreign CA, one of the wrong kind, and one that was revoked', async () => {
      const foreign = await (await createAuthority('Other CA')).issue(gatewayRequest);
      const expired = await authority.issue({
        ...gatewayRequest,
        notBefore: Date.now() - 2 * dayMs,
        notAfter: Date.now() - dayMs,
      });
      const server = await authority.issue({ ...gatewayRequest, client: false, server: { dnsNames: ['x'] } });
      const cases: [IssuedCertificate, RegExp][] = [
        [expired, /it finds this client certificate expired/],
        [foreign, /it does not know the CA of this client certificate/],
        [server, /it does not take this kind of client certificate/],
      ];
      await using broker = await Mosquitto.start({ authority, config: ['tls_version tlsv1.3'] });
      for (const [certificate, words] of cases) {
        await using rig = new Rig({ url: broker.url, ca: ca() }, certificate);
        const { reason } = await rig.reason(words);
        assert.doesNotMatch(reason!, /MQTT 5/);
      }
      const crl = await revoke(folder, authority, gateway);
      await using strict = await Mosquitto.start({
        authority,
        config: ['tls_version tlsv1.3', `crlfile ${crl}`],
      });
      await using rig = new Rig({ url: strict.url, ca: ca() }, gateway);
      await rig.reason(/it finds this client certificate revoked/);
    });
  });

  it('come for a broker that has no suite with forward secrecy', async () => {
    const rsa = await makeCertificate({
      key: 'rsa2048',
      subject: name({ CN: 'broker' }),
      extendedKeyUsages: [serverAuth, clientAuth],
    });
    const { certificatePem: cert, privateKeyPem: key } = rsa;
    for (const ciphers of ['AES256-GCM-SHA384', 'AES128-SHA', 'ECDHE-RSA-AES256-SHA384']) {
      const old = createTlsServer({ cert, key, ciphers, maxVersion: 'TLSv1.2' });
      old.on('tlsClientError', () => {});
      old.listen(0, '127.0.0.1');
      await once(old, 'listening');
      await using rig = new Rig({ url: url(old), ca: ca() }, gateway);
      await rig.reason(/no way of TLS in common with this box/);
      old.close();
    }
  });

  it('come for a broker that wants another application protocol, until uplink.alpn names it', async () => {
    const { certificatePem: cert, privateKeyPem: key } = await authority.issue({
      commonName: 'broker',
      server: { ipAddresses: ['127.0.0.1'] },
    });
    const asked: (string | false | null)[] = [];
    const picky = createTlsServer({ cert, key, ALPNProtocols: ['x-amzn-mqtt-ca'] }, (socket) => {
      asked.push(socket.alpnProtocol);
      socket.on('error', () => {}).destroy();
    });
    picky.on('tlsClientError', () => {});
    picky.listen(0, '127.0.0.1');
    await once(picky, 'listening');
    await using wrong = new Rig({ url: url(picky), ca: ca(), alpn: 'mqtt' }, gateway);
    await wrong.reason(/another application protocol \(ALPN\); set uplink\.alpn/);
    await using right = new Rig({ url: url(picky), ca: ca(), alpn: 'x-amzn-mqtt-ca' }, gateway);
    await right.reason(/without an answer to CONNECT/);
    assert.ok(asked.includes('x-amzn-mqtt-ca'));
    picky.close();
  });
});

/** A revocation list of `authority` with this certificate on it; its path. */
async function revoke(folder: string, authority: Authority, revoked: IssuedCertificate): Promise<string> {
  const path = (file: string): string => join(folder, file);
  await writeFile(path('ca.key'), authority.privateKeyPem, { mode: 0o600 });
  await writeFile(path('revoked.crt'), revoked.certificatePem);
  await writeFile(path('index.txt'), '');
  await writeFile(
    path('openssl.cnf'),
    `[ca]\ndefault_ca=own\n[own]\ndatabase=${path('index.txt')}\ndefault_md=sha256\ndefault_crl_days=1\n`,
  );
  const openssl = (...words: string[]): Promise<unknown> =>
    promisify(execFile)('openssl', [
      'ca',
      '-config',
      path('openssl.cnf'),
      '-cert',
      path('ca.crt'),
      '-keyfile',
      path('ca.key'),
      ...words,
    ]);
  await openssl('-revoke', path('revoked.crt'));
  await openssl('-gencrl', '-out', path('list.pem'));
  assert.match(await readFile(path('list.pem'), 'utf8'), /BEGIN X509 CRL/);
  return path('list.pem');
}
