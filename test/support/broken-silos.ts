import { unlink, writeFile } from 'node:fs/promises';
import { createServer as createTlsServer } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { loadKeyWrapper } from '../../src/identity/key-encryption-key.ts';
import { createAuthority, type IssuedCertificate } from '../../src/simulator/certificate-authority.ts';
import { Spool } from '../../src/spool/spool.ts';
import { freePort } from './free-port.ts';
import { Mosquitto } from './mosquitto.ts';
import { makeAuthority, makeCertificate, name } from './pki.ts';
import { listenFor, listening } from './scripted-units.ts';
import type { Site } from './site.ts';
import { owned } from './owned-origin.ts';

/** One thing that is wrong with a silo's uplink or identity. */
export interface BrokenSilo {
  /** Title in docs/symptoms.md. */
  title: string;
  /** The silo's and its tenant's name. */
  name: string;
  url: string;
  /** The file of the broker's CA; the site's where left out. */
  ca?: string;
  /** The file of the gateway's CA; the site's where left out. */
  trust?: string;
  /** More of `uplink`. */
  more?: string;
}

const dayMs = 86_400_000;
const server = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };

/** All of them, each made for real; brokers end with the site. */
export async function brokenSilos(site: Site): Promise<BrokenSilo[]> {
  // It lets only `unread` write, and has no subscriber.
  const deaf = await brokerOf(site, { acl: ['user unread_gw-0001', 'topic readwrite t/#'] });
  const silos = [
    ...(await brokenBrokers(site, deaf)),
    ...(await brokenNetwork(site)),
    { title: 'Broker: its ACL denies the batches, on MQTT 5', name: 'denied', url: deaf.url },
    {
      title: 'Broker: its ACL denies the batches, on MQTT 3.1.1',
      name: 'denied-3',
      url: deaf.url,
      more: ", protocol: '3.1.1'",
    },
    { title: 'Broker: nobody subscribes', name: 'unread', url: deaf.url },
  ];
  for (const silo of silos) await site.issueGateway(silo.name, silo.name);
  return [...silos, ...(await refusedByBroker(site)), ...(await brokenIdentities(site, deaf.url))];
}

async function brokerOf(site: Site, options: Parameters<typeof Mosquitto.start>[0]): Promise<Mosquitto> {
  const broker = await Mosquitto.start({ authority: site.authority, ...options });
  site.cleanUp(() => broker.close());
  return broker;
}

async function brokenBrokers(site: Site, good: Mosquitto): Promise<BrokenSilo[]> {
  const elsewhere = await site.authority.issue({
    commonName: 'broker',
    server: { dnsNames: ['broker.example'] },
  });
  const ended = await site.authority.issue({
    commonName: 'broker',
    server,
    notBefore: Date.now() - 2 * dayMs,
    notAfter: Date.now() - dayMs,
  });
  const misnamed = await brokerOf(site, { certificate: elsewhere });
  const expired = await brokerOf(site, { certificate: ended });
  const small = await brokerOf(site, { config: ['message_size_limit 1000'] });
  const plainPort = await freePort();
  await brokerOf(site, { config: [`listener ${plainPort} 127.0.0.1`] });
  const other = await createAuthority('Other CA');
  await writeFile(site.path('other-ca.crt'), other.certificatePem);
  return [
    { title: 'Broker: its CA is not in uplink.ca', name: 'untrusted', url: good.url, ca: './other-ca.crt' },
    { title: 'Broker: its certificate is for another name', name: 'misnamed', url: misnamed.url },
    { title: 'Broker: its certificate has ended', name: 'outdated', url: expired.url },
    {
      title: 'Broker: the port is that of MQTT without TLS',
      name: 'plain',
      url: `mqtts://127.0.0.1:${plainPort}`,
    },
    { title: 'Broker: batches are larger than it takes', name: 'oversize', url: small.url },
  ];
}

async function brokenNetwork(site: Site): Promise<BrokenSilo[]> {
  const { certificatePem: cert, privateKeyPem: key } = await site.authority.issue({
    commonName: 'web',
    server,
  });
  const web = createTlsServer({ cert, key }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'));
  });
  await listening(web);
  site.cleanUp(() => web.close());
  const silent = await listenFor(site, () => {});
  const at = (port: number): string => `mqtts://127.0.0.1:${port}`;
  return [
    { title: 'Broker: its name is unknown', name: 'nameless', url: 'mqtts://broker.invalid:8883' },
    { title: 'Broker: nothing listens at the port', name: 'closed', url: at(await freePort()) },
    { title: 'Broker: the endpoint accepts and says nothing', name: 'silent', url: at(silent) },
    {
      title: 'Broker: a web server is at the port',
      name: 'web',
      url: at((web.address() as AddressInfo).port),
    },
  ];
}

/** Certificates that the gateway accepts and the broker refuses. */
async function refusedByBroker(site: Site): Promise<BrokenSilo[]> {
  const otherUsers = await createAuthority('Other users CA');
  const foreign = await brokerOf(site, { clientCa: otherUsers.certificatePem });
  await site.issueGateway('unknown-ca', 'unknown-ca');
  // A CA that was renewed with its old key: here the new certificate is known, there the old one, which has ended.
  const subject = name({ CN: 'Renewed CA' });
  const renewed = await makeAuthority({ subject });
  const old = await makeAuthority({ subject, keys: renewed.keys, notAfter: new Date(Date.now() - dayMs) });
  const late = await brokerOf(site, { clientCa: old.certificatePem });
  const own = await makeCertificate(
    { subject: name({ O: 'expired-there' }, { CN: 'expired-there_gw-0001' }) },
    renewed,
  );
  await writeIdentity(site, 'expired-there', own);
  await writeFile(site.path('renewed-ca.crt'), renewed.certificatePem);
  return [
    { title: 'Certificate: the broker does not know its CA', name: 'unknown-ca', url: foreign.url },
    {
      title: 'Certificate: the broker finds it expired',
      name: 'expired-there',
      url: late.url,
      trust: './renewed-ca.crt',
    },
  ];
}

async function brokenIdentities(site: Site, url: string): Promise<BrokenSilo[]> {
  const now = Date.now();
  const lives: [string, number, number][] = [
    ['ended', now - 90 * dayMs, now - dayMs],
    ['ended-later', now - 90 * dayMs, now - dayMs],
    ['long-ended', now - 9.5 * 365 * dayMs, now - 9 * 365 * dayMs],
    ['early', now + dayMs, now + 90 * dayMs],
  ];
  for (const [tenant, notBefore, notAfter] of lives) {
    const request = { organization: tenant, commonName: `${tenant}_gw-0001`, notBefore, notAfter };
    await writeIdentity(site, tenant, await site.authority.issue(request));
  }
  await beginSpool(site, 'ended-later');
  for (const tenant of ['mixed', 'gone']) await site.issueGateway(tenant, tenant);
  const { privateKeyPem } = await site.authority.issue({
    organization: 'mixed',
    commonName: 'mixed_gw-0001',
  });
  await writeFile(site.path('mixed.key'), privateKeyPem, { mode: 0o600 });
  await unlink(site.path('gone.crt'));
  const titles = {
    ended: 'Certificate: it has ended',
    'ended-later': 'Certificate: it has ended since batches were first stored here',
    'long-ended': 'Clock: it is years ahead of the certificate',
    early: 'Clock: it is behind the certificate',
    mixed: 'Certificate: the key is that of another',
    gone: 'Certificate: its file is not there',
  };
  return Object.entries(titles).map(([tenant, title]) => ({ title, name: tenant, url }));
}

/** Makes the spool that a certificate, valid at the time, began. */
async function beginSpool(site: Site, tenant: string): Promise<void> {
  const origin = owned({ tenant, gateway: `${tenant}_gw-0001` });
  const directory = site.path(`state/silos/${tenant}/${tenant}/${origin.gateway}`);
  const keys = await loadKeyWrapper(directory, { silo: tenant });
  const options = { directory, bytesMax: 4_000_000, whenFull: 'drop-oldest', keyPeriodMs: dayMs } as const;
  (await Spool.open(options, { origin, keys, clock: systemClock, logger: silentLogger })).close();
}

async function writeIdentity(site: Site, file: string, issued: IssuedCertificate): Promise<void> {
  await writeFile(site.path(`${file}.crt`), issued.certificatePem);
  await writeFile(site.path(`${file}.key`), issued.privateKeyPem, { mode: 0o600 });
}
