import { checkServerIdentity, type ConnectionOptions } from 'node:tls';

/** Suites with forward secrecy and an AEAD, of TLS 1.3 and 1.2 (RFC 9325 §4.2). */
const ciphers = [
  'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
  'ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20',
  '!aNULL:!PSK',
].join(':');

/** What every connection to a broker is held to, the gateway's and the consumer's. */
export const tlsPolicy = {
  minVersion: 'TLSv1.2',
  ciphers,
  // Said outright, for the environment (NODE_TLS_REJECT_UNAUTHORIZED) could change the default.
  rejectUnauthorized: true,
  // What stands in the CA file is trusted, be it a root or the CA below it that issued the broker's certificate.
  allowPartialTrustChain: true,
  // By its subject alternative names alone: a CN is no name of a host any more (RFC 9525 §2).
  checkServerIdentity: (host, certificate) => checkServerIdentity(host, { ...certificate, subject: {} }),
} as const satisfies ConnectionOptions;
