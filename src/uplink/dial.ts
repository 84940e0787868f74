import { readFile } from 'node:fs/promises';
import { isIP, type TcpSocketConnectOpts } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { MerestoneError } from '../base/error.ts';
import { dialFault } from './dial-fault.ts';
import type { BrokerTarget } from './target.ts';

export interface UplinkCredentials {
  /** The client certificate, with its intermediates where there are any. */
  certificatePem: string;
  privateKeyPem: string;
}

/**
 * How long one of a host's several addresses may take before the next is tried. Node's own 250 ms would skip every
 * address but the last over a satellite.
 */
const addressTimeoutMs = 5000;

/**
 * A TLS connection to the broker, its certificate checked against the CA file alone and against the host's name.
 * Rejects with a MerestoneError that tells a technician what is wrong. `signal` gives up; after success the caller owns the socket.
 */
export async function dial(
  target: BrokerTarget,
  caFile: string,
  credentials: UplinkCredentials,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const ca = await readAuthorities(caFile);
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const fail = (error: unknown): void => reject(dialFault(error, target, caFile));
  try {
    signal.throwIfAborted();
    const options: ConnectionOptions & Pick<TcpSocketConnectOpts, 'autoSelectFamilyAttemptTimeout'> = {
      host: target.host,
      port: target.port,
      // RFC 6066 §3: an address is no server name.
      servername: isIP(target.host) === 0 ? target.host : '',
      ca,
      cert: credentials.certificatePem,
      key: credentials.privateKeyPem,
      minVersion: 'TLSv1.2',
      // Said outright, for the environment (NODE_TLS_REJECT_UNAUTHORIZED) could change the default.
      rejectUnauthorized: true,
      autoSelectFamilyAttemptTimeout: addressTimeoutMs,
    };
    const socket = connect(options);
    signal.addEventListener('abort', () => socket.destroy(), { once: true });
    socket.setNoDelay(true);
    socket.once('secureConnect', () => resolve(socket));
    socket.on('error', fail);
    socket.once('close', () => fail(new Error('closed')));
  } catch (error) {
    fail(error);
  }
  return promise;
}

/** Read anew for each connection, so that a CA can be replaced under a running gateway. */
async function readAuthorities(caFile: string): Promise<Buffer> {
  const hint = 'point uplink.ca at the CA certificate of the broker, in PEM';
  const pem = await readFile(caFile).catch((cause: unknown) => {
    throw new MerestoneError('FileUnreadable', 'cannot be read', {
      subject: caFile,
      hint,
      cause,
      retryable: true,
    });
  });
  // Without one the TLS library would have nothing to check against; it must never fall back to the system's store.
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) {
    throw new MerestoneError('ConfigInvalid', 'holds no certificate', {
      subject: caFile,
      hint,
      retryable: true,
    });
  }
  return pem;
}
