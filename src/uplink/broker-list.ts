import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { MerestoneError } from '../base/error.ts';
import { connectFault } from './connect-fault.ts';
import { type BrokerTarget, parseTarget } from './broker-target.ts';

/** One address of one of the brokers: where a connection goes. */
export interface Candidate extends BrokerTarget {
  address: string;
  /** There are others that can be had instead. */
  hasAlternatives: boolean;
}

/** All addresses of a name, as the resolver orders them. */
export type Lookup = (host: string) => Promise<readonly { address: string }[]>;

/** More are tried in a later round: a name with a hundred addresses must not take an hour. */
const candidatesMax = 16;
/** This many reasons say what is wrong; more would repeat them. */
const reasonsMax = 3;

const lookupAll: Lookup = (host) => lookup(host, { all: true });

/**
 * The brokers that one uplink may connect to: every address of every name in uplink.url, in turn. A node that takes
 * TCP and stays silent, or has lost what it needs, costs its time and no more.
 */
export class Brokers {
  readonly targets: readonly [BrokerTarget, ...BrokerTarget[]];
  readonly #caFile: string;
  readonly #lookup: Lookup;
  /** Where the last session was, and whether it was worth anything. */
  #last: { key: string; wasGood: boolean } | undefined;

  /** Throws ConfigInvalid if one of `urls` is not the address of a broker, or if there is none. */
  constructor(urls: readonly string[], caFile: string, lookupHost: Lookup = lookupAll) {
    const [first, ...others] = urls.map(parseTarget);
    this.targets = [first ?? parseTarget(''), ...others];
    this.#caFile = caFile;
    this.#lookup = lookupHost;
  }

  /** Calls `connect` for one after the other until it resolves. Rejects with the reasons of all. */
  async connect<T>(connect: (candidate: Candidate) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { candidates, faults } = await this.#resolve(signal);
    for (const candidate of this.#inTurn(candidates)) {
      try {
        return await connect(candidate);
      } catch (error) {
        signal.throwIfAborted();
        faults.push(faultOf(error, candidate.name));
      }
    }
    throw faultOfAll(faults);
  }

  /** The session at `candidate` is over. One that was good for nothing is not the first to be tried again. */
  left({ host, port, address }: Candidate, wasGood: boolean): void {
    this.#last = { key: keyOf({ host, port, address }), wasGood };
  }

  async #resolve(signal: AbortSignal): Promise<{ candidates: Candidate[]; faults: MerestoneError[] }> {
    const faults: MerestoneError[] = [];
    const resolved = await Promise.all(
      this.targets.map(async (target) => {
        const addresses = await this.#addressesOf(target).catch((error: unknown) => {
          faults.push(connectFault(error, target, this.#caFile));
          return [];
        });
        return addresses.map((address) => ({ ...target, address }));
      }),
    );
    signal.throwIfAborted();
    const distinct = [...new Map(resolved.flat().map((each) => [keyOf(each), each])).values()];
    const hasAlternatives = distinct.length > 1;
    const candidates = distinct.map((each) => {
      const isNamed = hasAlternatives && each.address !== each.host;
      return { ...each, hasAlternatives, name: isNamed ? `${each.name} (${each.address})` : each.name };
    });
    return { candidates, faults };
  }

  async #addressesOf({ host }: BrokerTarget): Promise<string[]> {
    // An address may name an interface (fe80::1%eth0), which no resolver has to know.
    if (isIP(host) !== 0) return [host];
    return (await this.#lookup(host)).map(({ address }) => address);
  }

  #inTurn(candidates: readonly Candidate[]): Candidate[] {
    const at = candidates.findIndex((each) => keyOf(each) === this.#last?.key);
    const from = at < 0 ? 0 : (at + (this.#last?.wasGood === true ? 0 : 1)) % candidates.length;
    return [...candidates.slice(from), ...candidates.slice(0, from)].slice(0, candidatesMax);
  }
}

function keyOf({ host, port, address }: Pick<Candidate, 'host' | 'port' | 'address'>): string {
  return `${host} ${port} ${address}`;
}

function faultOf(error: unknown, name: string): MerestoneError {
  if (error instanceof MerestoneError) return error;
  return new MerestoneError('Internal', String(error), { subject: name, cause: error });
}

/** Of those that got further than others the reasons are told, for theirs are about what answers there. */
function faultOfAll(faults: readonly MerestoneError[]): MerestoneError {
  const answered = faults.filter(({ code }) => code !== 'UplinkUnreachable' && code !== 'UplinkClosed');
  const telling = answered.length > 0 ? answered : faults;
  const [first, ...others] = telling;
  if (first === undefined) throw new MerestoneError('UplinkUnreachable', 'its name has no address');
  if (others.length === 0) return first;
  const words = telling.slice(0, reasonsMax).map(({ subject, message }) => `${subject ?? ''}: ${message}`);
  const more = telling.length > reasonsMax ? `, and so on for ${telling.length - reasonsMax} more` : '';
  return new MerestoneError(first.code, `${words.join(', ')}${more}`, {
    retryable: true,
    cause: first,
    ...(first.hint !== undefined && { hint: first.hint }),
  });
}
