import { lookup } from 'node:dns';
import { isIP } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { type BrokerAddress, formatAuthority } from '../base/broker-url.ts';

/** Every connection goes to the next broker of the list, and each broker's in turn to all addresses of its name. */
export class BrokerDial {
  readonly #brokers: readonly [BrokerAddress, ...BrokerAddress[]];
  readonly #options: ConnectionOptions;
  #attempts = 0;
  /** Where the last attempt went, for people. */
  current = '';

  constructor(brokers: readonly [BrokerAddress, ...BrokerAddress[]], options: ConnectionOptions) {
    this.#brokers = brokers;
    this.#options = options;
  }

  dial(): TLSSocket {
    const attempt = this.#attempts++;
    const { length } = this.#brokers;
    const { host, port } = this.#brokers[attempt % length] ?? this.#brokers[0];
    const round = Math.floor(attempt / length);
    this.current = formatAuthority({ host, port });
    return connect({
      ...this.#options,
      host,
      port,
      ...(isIP(host) === 0 && { servername: host }),
      lookup: (name, options, done) =>
        lookup(name, { ...options, all: true }, (error, found) => {
          const first = found?.[round % found.length];
          if (error !== null || first === undefined) return done(error, '');
          if (options.all === true) done(null, [first]);
          else done(null, first.address, first.family);
        }),
    });
  }
}
