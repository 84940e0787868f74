import { formatAuthority, parseBrokerUrl } from '../base/broker-url.ts';
import { faultError } from '../base/error.ts';

export interface BrokerTarget {
  host: string;
  port: number;
  /** `host:port`, for people. */
  name: string;
}

/** The broker in `mqtts://host[:port]`. Throws ConfigInvalid: no other scheme, and no user, path or query, means anything here. */
export function parseTarget(url: string): BrokerTarget {
  const address = parseBrokerUrl(url);
  if ('fault' in address) throw faultError('ConfigInvalid', address.fault, url);
  return { ...address, name: formatAuthority(address) };
}
