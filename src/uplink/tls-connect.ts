import { isIP } from 'node:net';
import { connect, type ConnectionOptions, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { tlsPolicy } from '../base/tls-policy.ts';
import { readAuthorities } from './authorities.ts';
import { connectFault } from './connect-fault.ts';
import { clip, type SentChain } from './fault-text.ts';
import type { UplinkOptions } from './options.ts';
import type { Candidate } from './broker-list.ts';

export interface UplinkCredentials {
  /** The client certificate, with its intermediates where there are any. */
  certificatePem: string;
  privateKeyPem: string;
}

/**
 * How long TCP may take to one of several addresses before the next is tried. Node's own 250 ms would skip every
 * address but the last over a satellite.
 */
const tcpMs = 5000;

/**
 * A TLS connection to the broker, its certificate checked against the CA file alone and against the host's name.
 * Rejects with a MerestoneError that tells a technician what is wrong. `signal` gives up; after success the caller owns the socket.
 */
export async function connectTls(
  target: Candidate,
  { ca: caFile, alpn }: Pick<UplinkOptions, 'ca' | 'alpn'>,
  credentials: UplinkCredentials,
  clock: Clock,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const ca = await readAuthorities(caFile);
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const fail = (error: unknown): void => reject(connectFault(error, target, caFile, sent));
  let sent: SentChain | undefined;
  try {
    signal.throwIfAborted();
    const options: ConnectionOptions = {
      ...tlsPolicy,
      host: target.address,
      port: target.port,
      // RFC 6066 §3: an address is no server name.
      servername: isIP(target.host) === 0 ? target.host : '',
      ca,
      ...(alpn !== undefined && { ALPNProtocols: [alpn] }),
      cert: credentials.certificatePem,
      key: credentials.privateKeyPem,
    };
    const socket = connect(options);
    // Before Node checks it: afterwards the socket no longer tells.
    socket.prependOnceListener('secure', () => {
      sent = chainOf(socket);
    });
    signal.addEventListener('abort', () => socket.destroy(), { once: true });
    socket.setNoDelay(true);
    const cancel = target.hasAlternatives ? clock.after(tcpMs, () => socket.destroy(overdue())) : () => {};
    socket.once('connect', cancel);
    socket.once('secureConnect', () => resolve(socket));
    socket.on('error', fail);
    socket.once('close', () => {
      cancel();
      fail(new Error('closed'));
    });
  } catch (error) {
    fail(error);
  }
  return promise;
}

/** OpenSSL follows no longer chain. */
const chainMax = 100;

function chainOf(socket: TLSSocket): SentChain {
  let last = socket.getPeerCertificate(true);
  let certificates = 1;
  while (isIssued(last) && certificates < chainMax) {
    last = last.issuerCertificate;
    certificates += 1;
  }
  const issuer = Object.entries(last.issuer ?? {}).map(([type, value]) => `${type}=${String(value)}`);
  return { certificates, issuer: clip(issuer.join(', ')) };
}

/** A root is its own issuer, and the last one of a chain that ends below it has none. */
function isIssued(certificate: DetailedPeerCertificate): boolean {
  const { issuerCertificate } = certificate as Partial<DetailedPeerCertificate>;
  return issuerCertificate !== undefined && issuerCertificate !== certificate;
}

function overdue(): Error {
  return Object.assign(new Error('no answer to TCP'), { code: 'ETIMEDOUT' });
}
