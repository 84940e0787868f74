import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
} from '../../src/simulator/certificate-authority.ts';
import { connectFault } from '../../src/uplink/connect-fault.ts';
import { parseTarget } from '../../src/uplink/broker-target.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { until } from '../support/until.ts';
import { gatewayRequest, hurried, Rig } from './rig.ts';

const dayMs = 86_400_000;
const localhost = { dnsNames: ['localhost'] };

describe('connecting to a broker', () => {
  let authority: Authority;
  let otherUser: Authority;
  let gateway: IssuedCertificate;
  let folder: string;

  before(async () => {
    authority = await createAuthority('Test CA');
    otherUser = await createAuthority('Other CA');
    gateway = await authority.issue(gatewayRequest);
    folder = await mkdtemp(join(tmpdir(), 'connecting-'));
    await writeFile(join(folder, 'ca.crt'), authority.certificatePem);
    await writeFile(join(folder, 'stranger.crt'), otherUser.certificatePem);
    await writeFile(join(folder, 'empty.crt'), '');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const file = (name: string): string => join(folder, name);

  it('trusts the CA of its file alone', async () => {
    await using broker = await Mosquitto.start({ authority });
    await using rig = new Rig({ url: broker.url, ca: file('stranger.crt') }, gateway);
    const { state } = await rig.reason(/its certificate does not come from a CA in .*stranger\.crt/);
    assert.notEqual(state, 'online');
    await using none = new Rig({ url: broker.url, ca: file('empty.crt') }, gateway);
    await none.reason(/empty\.crt: holds no certificate; point uplink\.ca at/);
    await using missing = new Rig({ url: broker.url, ca: file('missing.crt') }, gateway);
    await missing.reason(/missing\.crt: cannot be read/);
    assert.ok(!broker.log.includes('New client connected'));
  });

  it('says for how long there has been no session, however often one is tried, and null while there is one', async () => {
    await using broker = await Mosquitto.start({ authority });
    const clock = hurried(100);
    await using rig = new Rig({ url: broker.url, ca: file('ca.crt') }, gateway, clock);
    await rig.ready();
    assert.equal(rig.uplink.status().offlineMs, null);
    const lostMs = clock.monotonicMs();
    await broker.stop();
    let states = new Set<string>();
    await until(() => {
      const { state, offlineMs, forMs } = rig.uplink.status();
      states = states.add(state);
      assert.ok(offlineMs === null || forMs <= offlineMs + 1, `${forMs} of ${offlineMs}`);
      return (offlineMs ?? 0) > 60_000 && states.has('waiting');
    }, 'a minute without a session');
    assert.ok(rig.uplink.status().offlineMs! <= clock.monotonicMs() - lostMs + 1);
    await broker.start();
    await rig.ready();
    assert.equal(rig.uplink.status().offlineMs, null);
  });

  it('takes no broker’s certificate for another name', async () => {
    const certificate = await authority.issue({
      commonName: 'localhost',
      server: { dnsNames: ['broker.example'] },
    });
    await using broker = await Mosquitto.start({ authority, certificate });
    await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
    await rig.reason(/its certificate is for DNS:broker\.example, not for localhost; write the name/);
    const address = `mqtts://127.0.0.1:${broker.port}`;
    await using byAddress = new Rig({ url: address, ca: broker.caFile }, gateway);
    await byAddress.reason(/its certificate is for DNS:broker\.example, not for 127\.0\.0\.1/);
  });

  it('takes no expired broker’s certificate, nor one from the future', async () => {
    const times = [
      {
        notBefore: Date.now() - 2 * dayMs,
        notAfter: Date.now() - dayMs,
        words: /has expired.*check the clock/,
      },
      {
        notBefore: Date.now() + dayMs,
        notAfter: Date.now() + 2 * dayMs,
        words: /not valid yet.*check the clock/,
      },
    ];
    for (const { words, ...validity } of times) {
      const certificate = await authority.issue({ commonName: 'broker', server: localhost, ...validity });
      await using broker = await Mosquitto.start({ authority, certificate });
      await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
      await rig.reason(words);
    }
  });

  it('does not mistake a client’s certificate for a broker’s', async () => {
    const certificate = await authority.issue({ commonName: 'localhost', client: true });
    await using broker = await Mosquitto.start({ authority, certificate });
    await using rig = new Rig({ url: broker.url, ca: broker.caFile }, gateway);
    await rig.reason(/its certificate is no good|is for no name at all/);
  });

  it('says so when the broker refuses the client certificate', async () => {
    await using broker = await Mosquitto.start({ authority });
    const refused = /CA of this client certificate|refuses this certificate|client certificate (expired|bad)/;
    const foreign = await otherUser.issue(gatewayRequest);
    await using rig = new Rig({ url: broker.url, ca: broker.caFile }, foreign);
    await rig.reason(refused);
    const expired = await authority.issue({
      ...gatewayRequest,
      notBefore: Date.now() - 2 * dayMs,
      notAfter: Date.now() - dayMs,
    });
    await using late = new Rig({ url: broker.url, ca: broker.caFile }, expired);
    await late.reason(refused);
    // The right one heals it at once, without waiting for the pause to pass.
    rig.uplink.replaceCredentials(gateway);
    await rig.ready();
  });

  it('says so when certificate and key do not belong together', async () => {
    const other = await authority.issue(gatewayRequest);
    const mixed = { certificatePem: gateway.certificatePem, privateKeyPem: other.privateKeyPem };
    await using rig = new Rig({ url: 'mqtts://127.0.0.1:1', ca: file('ca.crt') }, mixed);
    await rig.reason(/certificate and key cannot be used .*install a certificate with the key/);
  });

  it('speaks no TLS older than 1.2', async () => {
    const { certificatePem: cert, privateKeyPem: key } = await authority.issue({
      commonName: 'old',
      server: { ipAddresses: ['127.0.0.1'] },
    });
    const ciphers = 'DEFAULT@SECLEVEL=0';
    const old = createTlsServer({ cert, key, ciphers, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' });
    old.on('tlsClientError', () => {});
    old.listen(0, '127.0.0.1');
    await once(old, 'listening');
    const { port } = old.address() as AddressInfo;
    await using rig = new Rig({ url: `mqtts://127.0.0.1:${port}`, ca: file('ca.crt') }, gateway);
    await rig.reason(/it offers no TLS that is good enough; have the broker speak TLS 1\.2 or 1\.3/);
    old.close();
  });

  describe('connecting to a server that is not a broker', () => {
    let server: Server;
    const sockets = new Set<Socket>();
    let greet: (socket: Socket) => void;

    before(async () => {
      server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => {}).on('close', () => sockets.delete(socket));
        greet(socket);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
    });
    after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const url = (): string => `mqtts://127.0.0.1:${(server.address() as AddressInfo).port}`;

    it('names a port without TLS', async () => {
      greet = (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      await using rig = new Rig({ url: url(), ca: file('ca.crt') }, gateway);
      await rig.reason(/it speaks no TLS at this port/);
    });

    it('names a connection that is closed during the handshake', async () => {
      greet = (socket) => socket.once('data', () => socket.destroy());
      await using rig = new Rig({ url: url(), ca: file('ca.crt') }, gateway);
      await rig.reason(/closed the connection during the TLS handshake/);
    });

    it('gives up on a server that says nothing, and stops at once while it waits', async () => {
      greet = () => {};
      await using rig = new Rig({ url: url(), ca: file('ca.crt') }, gateway, hurried(100));
      await rig.reason(/it does not answer within 30 s/);
      await using waiting = new Rig({ url: url(), ca: file('ca.crt') }, gateway);
      const stopped = performance.now();
      await waiting.uplink.stop(5000);
      assert.ok(performance.now() - stopped < 4000);
    });
  });

  it('names a port where nothing listens', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await using rig = new Rig({ url: `mqtts://127.0.0.1:${port}`, ca: file('ca.crt') }, gateway);
    await rig.reason(
      new RegExp(`127.0.0.1:${port}: nothing listens at port ${port}; check that the broker runs`),
    );
  });

  it('has words of its own for what cannot be had on this machine', () => {
    const target = parseTarget('mqtts://broker.example.com');
    const cases: Record<string, RegExp> = {
      ENOTFOUND: /^broker\.example\.com:8883: the name broker\.example\.com is not known to DNS/,
      EAI_AGAIN: /no name server answers/,
      EHOSTUNREACH: /no route to it/,
      ENETUNREACH: /no route to it/,
      ETIMEDOUT: /firewall/,
      ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: /client certificate revoked/,
      ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: /TLS 1\.2 or 1\.3/,
      SOMETHING_NEW: /no TLS connection: the library’s words/,
    };
    for (const [code, words] of Object.entries(cases)) {
      const fault = connectFault(Object.assign(new Error('the library’s words'), { code }), target, 'ca.crt');
      assert.match(fault.describe(), words);
      assert.ok(fault.hint);
    }
  });

  it('knows an address of a broker from anything else', () => {
    assert.deepEqual(parseTarget('mqtts://broker.example.com:8884'), {
      host: 'broker.example.com',
      port: 8884,
      name: 'broker.example.com:8884',
    });
    assert.deepEqual(parseTarget('mqtts://[::1]'), { host: '::1', port: 8883, name: '[::1]:8883' });
    for (const url of [
      'mqtt://a',
      'broker:8883',
      'mqtts://',
      'mqtts://u:p@a',
      'mqtts://a/path',
      'mqtts://a?x',
      '',
    ]) {
      assert.throws(() => parseTarget(url), { code: 'ConfigInvalid' }, url);
    }
  });
});
