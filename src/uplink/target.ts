import { MerestoneError } from '../base/error.ts';

export interface BrokerTarget {
  host: string;
  port: number;
  /** `host:port`, for people. */
  name: string;
}

/** IANA's port for MQTT over TLS. */
const portDefault = 8883;

/** The broker in `mqtts://host[:port]`. Throws ConfigInvalid: no other scheme, and no user, path or query, means anything here. */
export function parseTarget(url: string): BrokerTarget {
  const parsed = URL.parse(url);
  const bare =
    parsed !== null && parsed.username === '' && parsed.search === '' && /^\/?$/.test(parsed.pathname);
  if (parsed?.protocol !== 'mqtts:' || parsed.hostname === '' || !bare) {
    throw new MerestoneError('ConfigInvalid', 'is no address of a broker', {
      subject: url,
      hint: 'write uplink.url as mqtts://host:port',
    });
  }
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = parsed.port === '' ? portDefault : Number(parsed.port);
  return { host, port, name: `${parsed.hostname}:${port}` };
}
