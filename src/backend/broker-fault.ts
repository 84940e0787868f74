import { describeError, MerestoneError } from '../base/error.ts';
import type { NamedFault, NodeFault } from './broker-choice.ts';

/** This machine has no way to such an address, as to IPv6 at many sites. */
const noRoute = new Set<unknown>(['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/** OpenSSL's words, which come with a code of TLS or, where we were writing just then, as EPROTO. */
const openSslReason = /:SSL routines:[^:]*:([^:]+):/;

/** How a connection to one node failed; with a hint where time does not mend it. */
export function faultOfConnection(error: unknown): NodeFault {
  const { code } = error as { code?: unknown };
  const tls = openSslReason.exec(describeError(error))?.[1];
  const reason = tls ?? describeError(error);
  const hint = lastingHint(tls === undefined ? code : 'ERR_SSL_');
  if (noRoute.has(code)) return { reason, isUnreachable: true };
  return { reason, ...(hint !== undefined && { hint }) };
}

/** Undefined where one of the nodes that can be reached may take us yet. */
export function lastingFaultOf(faults: readonly NamedFault[]): MerestoneError | undefined {
  const hints = new Set(faults.filter(({ isUnreachable }) => isUnreachable !== true).map(({ hint }) => hint));
  if (hints.size === 0 || hints.has(undefined)) return undefined;
  const message = faults.map(({ node, reason }) => `${node}: ${reason}`).join(', ');
  return new MerestoneError('BrokerRefused', message, { hint: [...hints].join('; ') });
}

function lastingHint(code: unknown): string | undefined {
  if (typeof code === 'number') {
    // MQTT 5 §3.2.2.2 and 3.1.1 §3.2.2.3: server unavailable, busy, or asked to go elsewhere for now.
    if ([3, 0x88, 0x89, 0x9c, 0x9f].includes(code)) return undefined;
    return "let the backend's certificate connect in the broker's configuration";
  }
  if (typeof code !== 'string') return undefined;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return 'use a name in --url that stands in the broker’s certificate';
  }
  if (/^ERR_(SSL|OSSL|TLS)_/.test(code)) {
    return 'check --certificate, --private-key and --ca against the broker’s own';
  }
  if (/CERT|SELF_SIGNED|ISSUER|SIGNATURE/.test(code)) {
    return 'check --ca: it must have issued the broker’s certificate';
  }
  return undefined;
}
