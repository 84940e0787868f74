import { checkServerIdentity, type ConnectionOptions } from 'node:tls';

/** Suites with forward secrecy and an AEAD, of TLS 1.3 and 1.2 (RFC 9325 §4.2). */
const ciphers = [
  'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
  'ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20',
  '!aNULL:!PSK',
].join(':');

/** The TLS rules of every connection to a broker, the gateway's and the consumer's. */
export const tlsPolicy = {
  minVersion: 'TLSv1.2',
  ciphers,
  // Explicit, because the environment (NODE_TLS_REJECT_UNAUTHORIZED) could change the default.
  rejectUnauthorized: true,
  // Every certificate in the CA file is trusted, a root or the CA below it that issued the broker's certificate.
  allowPartialTrustChain: true,
  // Only subject alternative names count: a CN no longer names a host (RFC 9525 §2).
  checkServerIdentity: (host, certificate) => checkServerIdentity(host, { ...certificate, subject: {} }),
} as const satisfies ConnectionOptions;
