import { lookup } from 'node:dns';
import { isIP } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { type BrokerAddress, formatAuthority } from '../base/broker-url.ts';
import { tlsPolicy } from '../base/tls-policy.ts';

/** The resolver, as `lookup` of node:dns with `all`. */
export type Lookup = (
  host: string,
  options: { all: true },
  done: (error: Error | null, found: readonly { address: string; family: number }[]) => void,
) => void;

/** Why a node was left. */
export interface NodeFault {
  reason: string;
  /** What to do, where time does not mend it. */
  hint?: string;
  /** There is no way to it from here: what the others say decides. */
  isUnreachable?: true;
}

/** The fault of one node of a round. */
export interface NamedFault extends NodeFault {
  node: string;
}

/** A name with a hundred addresses must not make a round of an hour. */
const addressesMax = 16;

/** Where connections go: in rounds over all brokers, and of each over all addresses of its name. */
export class BrokerChoice {
  readonly #brokers: readonly [BrokerAddress, ...BrokerAddress[]];
  readonly #options: ConnectionOptions;
  readonly #lookup: Lookup;
  #broker = 0;
  /** Of the broker's name in this round; a resolver may give another order each time. */
  readonly #tried = new Set<string>();
  #untried: string | undefined;
  #faults: NamedFault[] = [];
  /** The node that is connected to, or being tried: `host:port`, with its address where the name has several. */
  current = '';

  constructor(
    brokers: readonly [BrokerAddress, ...BrokerAddress[]],
    credentials: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'>,
    lookupHost: Lookup = lookup,
  ) {
    this.#brokers = brokers;
    this.#options = { ...tlsPolicy, ...credentials };
    this.#lookup = lookupHost;
  }

  /** The node that is tried after this one. */
  get next(): string {
    if (this.#untried !== undefined) return nameOf(this.#at(this.#broker), this.#untried);
    return nameOf(this.#at(this.#broker + 1));
  }

  connect(): TLSSocket {
    const broker = this.#at(this.#broker);
    const { host, port } = broker;
    this.#untried = undefined;
    this.current = nameOf(broker);
    return connect({
      ...this.#options,
      host,
      port,
      ...(isIP(host) === 0 && { servername: host }),
      lookup: (_name, options, done) =>
        this.#lookup(host, { all: true }, (error, found) => {
          const chosen = error === null ? this.#choose(broker, found) : undefined;
          if (chosen === undefined) return done(error ?? new Error(`${host} has no address`), '');
          if (options.all === true) done(null, [chosen]);
          else done(null, chosen.address, chosen.family);
        }),
    });
  }

  /** The current node is left for the next one. At the end of a round: the faults of all of its nodes. */
  leave(fault: NodeFault): readonly NamedFault[] | undefined {
    this.#faults.push({ node: this.current, ...fault });
    if (this.#untried !== undefined) return undefined;
    this.#tried.clear();
    this.#broker++;
    if (this.#broker < this.#brokers.length) return undefined;
    this.#broker = 0;
    const faults = this.#faults;
    this.#faults = [];
    return faults;
  }

  #choose(
    broker: BrokerAddress,
    found: readonly { address: string; family: number }[],
  ): { address: string; family: number } | undefined {
    const untried = found.slice(0, addressesMax).filter(({ address }) => !this.#tried.has(address));
    const chosen = untried[0] ?? found[0];
    if (chosen === undefined) return undefined;
    this.#tried.add(chosen.address);
    this.#untried = untried.find(({ address }) => address !== chosen.address)?.address;
    if (found.length > 1) this.current = nameOf(broker, chosen.address);
    return chosen;
  }

  #at(index: number): BrokerAddress {
    return this.#brokers[index % this.#brokers.length] ?? this.#brokers[0];
  }
}

function nameOf(broker: BrokerAddress, address?: string): string {
  return address === undefined ? formatAuthority(broker) : `${formatAuthority(broker)} (${address})`;
}
