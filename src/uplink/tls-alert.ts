import type { FaultText, TlsError } from './fault-text.ts';

/**
 * The alerts of TLS by number (RFC 8446 §6, those of earlier versions included): by these the broker says why it
 * ends a handshake. Under TLS 1.3 those on our certificate come after the handshake is over on our side.
 */
const alerts: Record<number, string> = {
  10: 'unexpected_message',
  20: 'bad_record_mac',
  21: 'decryption_failed',
  22: 'record_overflow',
  30: 'decompression_failure',
  40: 'handshake_failure',
  41: 'no_certificate',
  42: 'bad_certificate',
  43: 'unsupported_certificate',
  44: 'certificate_revoked',
  45: 'certificate_expired',
  46: 'certificate_unknown',
  47: 'illegal_parameter',
  48: 'unknown_ca',
  49: 'access_denied',
  50: 'decode_error',
  51: 'decrypt_error',
  60: 'export_restriction',
  70: 'protocol_version',
  71: 'insufficient_security',
  80: 'internal_error',
  86: 'inappropriate_fallback',
  90: 'user_canceled',
  100: 'no_renegotiation',
  109: 'missing_extension',
  110: 'unsupported_extension',
  111: 'certificate_unobtainable',
  112: 'unrecognized_name',
  113: 'bad_certificate_status_response',
  114: 'bad_certificate_hash_value',
  115: 'unknown_psk_identity',
  116: 'certificate_required',
  120: 'no_application_protocol',
};

/** What the broker thinks of our certificate. */
const onClientCertificate: Record<string, string> = {
  no_certificate: 'it got no client certificate',
  bad_certificate: 'it finds this client certificate bad',
  unsupported_certificate: 'it does not take this kind of client certificate',
  certificate_revoked: 'it finds this client certificate revoked',
  certificate_expired: 'it finds this client certificate expired',
  certificate_unknown: 'it does not take this client certificate',
  unknown_ca: 'it does not know the CA of this client certificate',
  access_denied: 'it denies this client certificate access',
  decrypt_error: 'it cannot verify this client certificate',
  certificate_unobtainable: 'it could not obtain this client certificate',
  bad_certificate_hash_value: 'it finds this client certificate bad',
  certificate_required: 'it got no client certificate',
};

const certificateHints: Record<string, string> = {
  certificate_expired:
    "see 'merestone identity show', and renew it; if it is in time, check the clock of the broker",
  unknown_ca:
    "put its CA, and the CAs between, into the broker's CA file; 'merestone identity show' names the issuer",
  unsupported_certificate: "see 'merestone identity show'; it has to allow use as a client (clientAuth)",
};

/** The number of the alert that ended the connection; undefined where none did. */
export function alertNumber({ code = '', message }: TlsError): number | undefined {
  // OpenSSL has renamed its reasons from version to version; it has always written the number.
  const written = /SSL alert number (\d+)/.exec(message)?.[1];
  if (written !== undefined) return Number(written);
  const name = /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13|TLS|SSL\/TLS)_(?:ALERT_)?(\w+)$/
    .exec(code)?.[1]
    ?.toLowerCase();
  const known = Object.entries(alerts).find(([, each]) => each === name);
  return known === undefined ? undefined : Number(known[0]);
}

/** Undefined where no alert ended the connection. */
export function alertText(error: TlsError): FaultText | undefined {
  const number = alertNumber(error);
  if (number === undefined) return undefined;
  const name = alerts[number] ?? 'unknown';
  const onCertificate = onClientCertificate[name];
  if (onCertificate !== undefined) {
    const hint =
      certificateHints[name] ??
      "see 'merestone identity show', and which CA and revocation list the broker goes by";
    return { code: 'UplinkRefused', message: onCertificate, hint };
  }
  return { code: 'UplinkUnreachable', ...handshakeText(name, number) };
}

function handshakeText(name: string, number: number): Omit<FaultText, 'code'> {
  switch (name) {
    case 'protocol_version':
    case 'insufficient_security':
      return {
        message: 'it offers no TLS that is good enough',
        hint: 'have the broker speak TLS 1.2 or 1.3, with suites that have forward secrecy (ECDHE)',
      };
    case 'handshake_failure':
      return {
        message: 'it has no way of TLS in common with this box (handshake_failure)',
        hint: 'have the broker offer TLS 1.2 or 1.3 with suites that have forward secrecy (ECDHE); if it does, its log says what it finds wrong, the client certificate included',
      };
    case 'unrecognized_name':
      return {
        message: 'it serves no broker of this name',
        hint: 'write the name that it serves into uplink.url; an IP address alone names no host',
      };
    case 'no_application_protocol':
      return {
        message: 'it wants another application protocol (ALPN)',
        hint: 'set uplink.alpn to the protocol that this port serves, or use the port of MQTT over TLS, usually 8883',
      };
    default:
      return {
        message: `it ended the connection with the TLS alert ${name} (${number})`,
        hint: 'its log says why; check what stands between (proxy, firewall that looks into TLS)',
      };
  }
}
