import { hostFault } from './host.ts';

export interface BrokerAddress {
  /** Without brackets. */
  host: string;
  port: number;
}

/** IANA's port for MQTT over TLS. */
const portDefault = 8883;

const form =
  /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(?:[^/?#]*@)?(?:\[([^\]]*)\]|([^/?#:]*))(?::([0-9]*))?(?:[/?#].*)?$/;

/** The broker in `mqtts://host[:port]`, or why the text is not one: `what is wrong; what to do`. */
export function parseBrokerUrl(text: string): BrokerAddress | { fault: string } {
  const parts = form.exec(text);
  if (parts === null) return { fault: formFault(text) };
  const [, scheme = '', bracketed, bare = '', port] = parts;
  // RFC 6874 writes the '%' before an interface as '%25'.
  const host = bracketed?.replace('%25', '%') ?? bare;
  const shown = bracketed === undefined ? bare : `[${bracketed}]`;
  const authority = port === undefined || port === '' ? shown : `${shown}:${port}`;
  if (host === '') return { fault: `'${text}' is not a broker's address; write mqtts://host:port` };
  if (scheme.toLowerCase() !== 'mqtts') {
    return { fault: `'${scheme}://' is not mutual TLS; write mqtts://${authority}` };
  }
  if (/^[^/?#]*:\/\/[^/?#]*@/.test(text)) {
    return { fault: 'a broker address holds no user or password; remove them, the certificate is the login' };
  }
  if (!/^[^/?#]*:\/\/[^/?#]*\/?$/.test(text)) {
    return { fault: `'${text}' has something after the port; write mqtts://${authority}` };
  }
  const fault = brokerHostFault(host, bracketed !== undefined);
  if (fault !== undefined) return { fault };
  const number = port === undefined || port === '' ? portDefault : Number(port);
  if (number === 0) return { fault: 'no broker listens on port 0; write its port, usually 8883' };
  if (number > 65_535) return { fault: `port ${port} does not exist; write one up to 65535, usually 8883` };
  return { host, port: number };
}

function brokerHostFault(host: string, isBracketed: boolean): string | undefined {
  const fault = hostFault(host);
  if (fault !== undefined) return fault;
  return isBracketed && !host.includes(':')
    ? `'[${host}]' is no IPv6 address; write ${host} without brackets`
    : undefined;
}

/** `host:port` as a URL has it. */
export function formatAuthority({ host, port }: BrokerAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** `text` has no shape of a URL at all, or an IPv6 address whose colons read as ports. */
function formFault(text: string): string {
  const [, host = ''] = /^mqtts:\/\/([0-9A-Fa-f:.]+)\/?$/.exec(text) ?? [];
  if (host.split(':').length > 2) {
    return `the IPv6 address in '${text}' has no brackets; write mqtts://[${host}]:${portDefault}`;
  }
  return `'${text}' is not a broker's address; write mqtts://host:port`;
}
