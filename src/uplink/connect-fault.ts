import { MerestoneError } from '../base/error.ts';
import { brokerCertificateText } from './broker-certificate.ts';
import type { FaultText, SentChain, TlsError } from './fault-text.ts';
import type { BrokerTarget } from './broker-target.ts';
import { alertText } from './tls-alert.ts';

/** What went wrong before there was a TLS connection, in a technician's words. */
export function connectFault(
  cause: unknown,
  target: BrokerTarget,
  caFile: string,
  sent?: SentChain,
): MerestoneError {
  const error: TlsError = cause instanceof Error ? cause : new Error(String(cause));
  const { code, message, hint } =
    networkText(error, target) ??
    brokerCertificateText(error, target, caFile, sent) ??
    refusalText(error) ??
    tlsText(error);
  return new MerestoneError(code, message, { subject: target.name, hint, cause, retryable: true });
}

function networkText({ code = '' }: TlsError, { host, port }: BrokerTarget): FaultText | undefined {
  const words = (message: string, hint: string): FaultText => ({ code: 'UplinkUnreachable', message, hint });
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

/** Undefined where the error is not the broker's word on our certificate or handshake, nor that we cannot even use it. */
export function refusalText(error: TlsError): FaultText | undefined {
  const { code = '', message } = error;
  const alert = alertText(error);
  if (alert !== undefined) return alert;
  if (/^ERR_OSSL_|^ERR_CRYPTO_|^ERR_INVALID_ARG/.test(code)) {
    return {
      code: 'UplinkRefused',
      message: `this client certificate and key cannot be used (${message})`,
      hint: 'install a certificate with the key that it was made for',
    };
  }
  return undefined;
}

function tlsText({ code = '', message }: TlsError): FaultText {
  const words = (text: string, hint: string): FaultText => ({
    code: 'UplinkUnreachable',
    message: text,
    hint,
  });
  switch (code) {
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return words(
        'it speaks no TLS at this port',
        'give uplink.url the port of MQTT over TLS, usually 8883',
      );
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
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
