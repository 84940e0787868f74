import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';

/*
 * The one place that says what a host is. An address has one reading only: resolvers read `010` in octal and
 * `10.1` as 10.0.0.1 (inet_aton(3)), so such forms would reach another device than the one that was meant.
 */

/** A listener may be bound to every address of the box; nothing can be reached there. */
export type HostUse = 'connect' | 'listen';

/** `what is wrong; what to do`; undefined where `text` is a name or an address, without brackets and port. */
export function hostFault(text: string, use: HostUse = 'connect'): string | undefined {
  return formFault(text) ?? (text.includes(':') ? ipv6Fault(text, use) : nameOrIpv4Fault(text, use));
}

/** One spelling for each host: lower case, IPv6 as short as it can be. `text` is without fault. */
export function canonicalHost(text: string): string {
  const lower = text.toLowerCase();
  const [address, zone] = lower.split('%');
  if (!isIPv6(address!)) return lower;
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1);
  return zone === undefined ? short : `${short}%${text.split('%')[1]}`;
}

function formFault(text: string): string | undefined {
  const quoted = `'${text}'`;
  if (text === '') return 'a host cannot be empty; write a name or an address';
  if (/[\s\p{Cc}\p{Cf}\p{Z}]/u.test(text)) {
    return `${quoted} holds a blank or an invisible character; type the host again`;
  }
  if (text.includes('://')) return `${quoted} is a URL; write the host alone`;
  if (text.includes('@')) return `${quoted} holds a user; write the host alone`;
  if (/^\[.*\](:\d+)?$/.test(text)) {
    return `${quoted} has brackets, which belong in a URL; write ${text.replace(/^\[(.*)\].*$/, '$1')}, and a port in its own key`;
  }
  if (/\/\d{1,3}$/.test(text)) return `${quoted} is a network; write one address of it, without '/'`;
  if (text.includes('/')) return `${quoted} holds a '/'; write the host alone`;
  return undefined;
}

function ipv6Fault(text: string, use: HostUse): string | undefined {
  const withPort = /^([^:]+):(\d*)$/.exec(text);
  if (withPort !== null) {
    return `'${text}' has a port in it; write ${withPort[1]} as the host, and the port in its own key`;
  }
  const [address = '', zone, ...more] = text.split('%');
  if (!isIPv6(address) || more.length > 0) {
    return `'${text}' is no IPv6 address; write it like 2001:db8::10, without a port`;
  }
  const isLinkLocal = /^fe[89ab]/i.test(address);
  if (isLinkLocal && zone === undefined) {
    return `'${text}' is link-local, which needs the network interface; write ${text}%eth0, with the name that 'ip link' shows`;
  }
  if (zone !== undefined && !isLinkLocal) {
    return `only a link-local address (fe80::…) has an interface, and '${text}' is not one; write ${address}`;
  }
  if (zone !== undefined && !/^[A-Za-z0-9._-]{1,15}$/.test(zone)) {
    return `'${zone}' is no network interface; write the name that 'ip link' shows`;
  }
  if (/^ff/i.test(address)) return groupFault(text);
  return use === 'connect' && canonicalHost(address) === '::' ? anyFault(text) : undefined;
}

const label = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

function nameOrIpv4Fault(text: string, use: HostUse): string | undefined {
  if (text.endsWith('.')) return `'${text}' ends in a dot; write ${text.replace(/\.+$/, '')}`;
  if (/[^\0-\x7f]/.test(text)) return nonAsciiFault(text);
  const labels = text.split('.');
  // What ends in a number is an address to every resolver (WHATWG URL, "ends in a number").
  if (/^(?:\d+|0[xX][0-9A-Fa-f]*)$/.test(labels.at(-1)!)) return ipv4Fault(text, labels, use);
  if (text.length > 253) return `a name of ${text.length} characters is no host; DNS allows 253`;
  const wrong = labels.find((each) => !label.test(each));
  if (wrong === undefined) return undefined;
  const what = wrong === '' ? 'two dots in a row, or one at the front' : `'${wrong}'`;
  return `'${text}' is no host because of ${what}; a name has letters, digits, '-' and '_', up to 63 between two dots`;
}

function nonAsciiFault(text: string): string {
  const ascii = domainToASCII(text);
  const hint = ascii === '' ? 'write a name or an address in ASCII' : `write ${ascii}`;
  return `'${text}' holds letters that DNS does not have; ${hint}`;
}

function ipv4Fault(text: string, labels: readonly string[], use: HostUse): string | undefined {
  const isDecimal = labels.every((each) => /^\d+$/.test(each));
  if (!isDecimal || labels.length < 4) {
    return `'${text}' is a short or hexadecimal form of an address, which programs read differently; write all four numbers in decimal, such as 192.168.1.10`;
  }
  if (labels.length > 4) return `'${text}' has ${labels.length} numbers; an IPv4 address has four`;
  const tooBig = labels.find((each) => Number(each) > 255);
  if (tooBig !== undefined) {
    return `'${text}' is no address because ${tooBig} is above 255; correct that number`;
  }
  const plain = labels.map(Number).join('.');
  if (plain !== text) {
    return `'${text}' has leading zeros, which many programs read as octal; write ${plain}`;
  }
  if (!isIPv4(text)) return `'${text}' is no address; write it like 192.168.1.10`;
  if (text === '255.255.255.255' || Number(labels[0]) >= 224) return groupFault(text);
  return use === 'connect' && labels[0] === '0' ? anyFault(text) : undefined;
}

function groupFault(text: string): string {
  return `'${text}' is a multicast, broadcast or reserved address; write the address of one host`;
}

function anyFault(text: string): string {
  return `'${text}' is no host's address; write the address of the one to reach`;
}
