import { type ErrorCode, MerestoneError } from '../base/error.ts';
import type { BrokerTarget } from './target.ts';

interface Words {
  code: ErrorCode;
  message: string;
  hint: string;
}

interface TlsError extends Error {
  code?: string;
  /** The certificate that was refused, where Node hands it over. */
  cert?: { subjectaltname?: string; valid_to?: string; valid_from?: string };
}

/** What went wrong before there was a TLS connection, in a technician's words. */
export function dialFault(cause: unknown, target: BrokerTarget, caFile: string): MerestoneError {
  const error: TlsError = cause instanceof Error ? cause : new Error(String(cause));
  const { code, message, hint } =
    networkWords(error, target) ??
    brokerCertificateWords(error, target, caFile) ??
    clientCertificateWords(error) ??
    tlsWords(error);
  return new MerestoneError(code, message, { subject: target.name, hint, cause, retryable: true });
}

function networkWords({ code = '' }: TlsError, { host, port }: BrokerTarget): Words | undefined {
  const words = (message: string, hint: string): Words => ({ code: 'UplinkUnreachable', message, hint });
  switch (code) {
    case 'ENOTFOUND':
      return words(
        `the name ${host} is not known to DNS`,
        'check uplink.url and the name server of this box',
      );
    case 'EAI_AGAIN':
      return words(`no name server answers for ${host}`, 'check the network and the name server of this box');
    case 'ECONNREFUSED':
      return words(
        `nothing listens at port ${port}`,
        'check that the broker runs, and the port in uplink.url',
      );
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ENETDOWN':
    case 'EADDRNOTAVAIL':
      return words('there is no route to it', 'check the network, the gateway and the VPN of this box');
    case 'ETIMEDOUT':
      return words('it does not answer', `check that a firewall lets this box out to port ${port}`);
    default:
      return undefined;
  }
}

function brokerCertificateWords(error: TlsError, target: BrokerTarget, caFile: string): Words | undefined {
  const words = (message: string, hint: string): Words => ({ code: 'BrokerUntrusted', message, hint });
  switch (error.code ?? '') {
    case 'ERR_TLS_CERT_ALTNAME_INVALID': {
      const names = error.cert?.subjectaltname ?? 'no name at all';
      return words(
        `its certificate is for ${names}, not for ${target.host}`,
        'write the name of its certificate into uplink.url, or have the certificate issued for this name',
      );
    }
    case 'CERT_HAS_EXPIRED':
      return words(
        `its certificate, or its CA's, has expired${since(error.cert?.valid_to)}`,
        "renew the broker's certificate; if it is in time, check the clock of this box",
      );
    case 'CERT_NOT_YET_VALID':
      return words(
        `its certificate, or its CA's, is not valid yet${since(error.cert?.valid_from)}`,
        'check the clock of this box',
      );
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'CERT_SIGNATURE_FAILURE':
    case 'CERT_UNTRUSTED':
    case 'INVALID_CA':
      return words(
        `its certificate does not come from a CA in ${caFile}`,
        "put the CA of the broker's certificate there; if it was right before, find out who answers at this address",
      );
    case 'INVALID_PURPOSE':
    case 'CERT_REVOKED':
    case 'CERT_REJECTED':
      return words(
        `its certificate is no good (${error.code})`,
        'have the broker given a server certificate',
      );
    default:
      return undefined;
  }
}

function since(text: string | undefined): string {
  return text === undefined ? '' : ` (${text})`;
}

/** Alerts by which the broker says what it thinks of our certificate (RFC 8446 §6.2). */
const clientAlerts: Record<string, string> = {
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it got no client certificate',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not know the CA of this client certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'it finds this client certificate expired',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: 'it finds this client certificate revoked',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'it does not take this client certificate',
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 'it does not take this kind of client certificate',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'it finds this client certificate bad',
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR: 'it cannot verify this client certificate',
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: 'it denies this client certificate access',
};

/** `undefined` where the error is not the broker's word on our certificate, nor that we cannot even use it. */
export function clientCertificateWords({ code = '', message }: TlsError): Words | undefined {
  const alert = clientAlerts[code];
  if (alert !== undefined) {
    return {
      code: 'UplinkRefused',
      message: alert,
      hint: "see 'merestone identity show', and which CA and revocation list the broker goes by",
    };
  }
  if (/^ERR_OSSL_|^ERR_CRYPTO_|^ERR_INVALID_ARG/.test(code)) {
    return {
      code: 'UplinkRefused',
      message: `this client certificate and key cannot be used (${message})`,
      hint: 'install a certificate with the key that it was made for',
    };
  }
  return undefined;
}

function tlsWords({ code = '', message }: TlsError): Words {
  const words = (text: string, hint: string): Words => ({ code: 'UplinkUnreachable', message: text, hint });
  switch (code) {
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return words(
        'it speaks no TLS at this port',
        'give uplink.url the port of MQTT over TLS, usually 8883',
      );
    case 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION':
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
    case 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE':
      return words('it offers no TLS that is good enough', 'have the broker speak TLS 1.2 or 1.3');
    case 'ECONNRESET':
    case 'EPIPE':
    case '':
      return words(
        'it closed the connection during the TLS handshake',
        'check that this is the port of MQTT over TLS, and what stands between (proxy, load balancer)',
      );
    default:
      return words(`no TLS connection: ${message}`, 'see docs/uplink.md for what else may be in the way');
  }
}
