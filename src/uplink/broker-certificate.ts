import { clip, type FaultText, type SentChain, type TlsError } from './fault-text.ts';
import type { BrokerTarget } from './broker-target.ts';

const whoAnswers = 'if the file was right before, find out who answers at this address';

/** Why the broker's certificate was not taken; undefined where it was not for its certificate. */
export function brokerCertificateText(
  error: TlsError,
  target: BrokerTarget,
  caFile: string,
  sent: SentChain | undefined,
): FaultText | undefined {
  const { code = '' } = error;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return untrusted(...nameText(error, target));
  const [message, hint] = timeText(error) ?? chainText(code, caFile, sent) ?? qualityText(error) ?? [];
  return message === undefined || hint === undefined ? undefined : untrusted(message, hint);
}

type Words = [message: string, hint: string];

function untrusted(message: string, hint: string): FaultText {
  return { code: 'BrokerUntrusted', message, hint };
}

function nameText({ cert }: TlsError, { host }: BrokerTarget): Words {
  const names = cert?.subjectaltname;
  if (names === undefined || names === '') {
    return [
      `its certificate is for no name at all, so it cannot be for ${host}`,
      `have it issued with ${host} as a subject alternative name; a CN alone does not count`,
    ];
  }
  return [
    `its certificate is for ${clip(names)}, not for ${host}`,
    'write the name of its certificate into uplink.url, or have the certificate issued for this name',
  ];
}

function timeText({ code = '', cert }: TlsError): Words | undefined {
  const since = (text: string | undefined): string => (text === undefined ? '' : ` (${text})`);
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return [
        `its certificate, or its CA's, has expired${since(cert?.valid_to)}`,
        "renew the broker's certificate; if it is in time, check the clock of this box",
      ];
    case 'CERT_NOT_YET_VALID':
      return [
        `its certificate, or its CA's, is not valid yet${since(cert?.valid_from)}`,
        'check the clock of this box',
      ];
    default:
      return undefined;
  }
}

/** X509_V_ERR_* of OpenSSL, as far as they are about the way from the certificate up to the file. */
function chainText(code: string, caFile: string, sent: SentChain | undefined): Words | undefined {
  const issuer = sent === undefined ? '' : `, ${sent.issuer},`;
  const from = `its certificate does not come from a CA in ${caFile}`;
  switch (code) {
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return sent === undefined || sent.certificates === 1
        ? [
            `${from}, and it sends no chain that leads there`,
            `have the broker send its intermediate CAs with its certificate, or put the CA that issued it${issuer} into the file; ${whoAnswers}`,
          ]
        : [
            `${from}: the chain that it sends ends below it`,
            `put the CA that issued the last certificate of its chain${issuer} into the file; ${whoAnswers}`,
          ];
    case 'SELF_SIGNED_CERT_IN_CHAIN':
      return [
        `${from}: its chain leads to another root`,
        `put that root there, if it is the right one; ${whoAnswers}`,
      ];
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return [
        `${from}: it is self-signed`,
        `give the broker a certificate of a CA, or put this very certificate into the file; ${whoAnswers}`,
      ];
    case 'CERT_SIGNATURE_FAILURE':
      return [
        `${from}: a CA of that name is there, and has another key`,
        `put the CA's present certificate into the file; ${whoAnswers}`,
      ];
    case 'CERT_UNTRUSTED':
    case 'INVALID_CA':
    case 'PATH_LENGTH_EXCEEDED':
    case 'CERT_CHAIN_TOO_LONG':
      return [
        `${from} that may issue it (${code})`,
        `put the CA of the broker's certificate there; ${whoAnswers}`,
      ];
    default:
      return undefined;
  }
}

function qualityText({ code = '', message }: TlsError): Words | undefined {
  switch (code) {
    case 'INVALID_PURPOSE':
    case 'CERT_REVOKED':
    case 'CERT_REJECTED':
      return [`its certificate is no good (${code})`, 'have the broker given a server certificate'];
    // What Node has no name for: keys and hashes that are too weak, extensions that contradict.
    case 'UNSPECIFIED':
      return [
        `its certificate, or its CA's, is no good (${message})`,
        'have the broker given a certificate with a key of 2048 bits (RSA) or 256 (EC) and SHA-256',
      ];
    default:
      return undefined;
  }
}
