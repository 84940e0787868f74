import type { ParkedLimits } from '../../backend/parked-messages.ts';
import type { SubscriberOptions } from '../../backend/subscriber.ts';
import { type BrokerAddress, parseBrokerUrl } from '../../base/broker-url.ts';
import { faultError, MerestoneError } from '../../base/error.ts';
import { parseDuration, parseSize } from '../../base/quantity.ts';
import { isSegment } from '../../messages/segment.ts';
import { readInput } from '../input.ts';
import { logName, many, needed, text } from '../option.ts';

export interface ConsumeArguments {
  url: string[];
  ca: string;
  certificate: string;
  'private-key': string;
  tenant: string[];
  trust: string[];
  output: string;
  postgres: string | undefined;
  state: string | undefined;
  evidence: string | undefined;
  'evidence-key': string | undefined;
  'log-name': string;
  heads: string | undefined;
  'heads-every': string;
  replay: boolean;
  backlog: string;
  seconds: number | undefined;
  count: number | undefined;
  protocol: '5' | '3.1.1';
  'client-id': string | undefined;
  'session-expiry': string;
  'gap-after': string;
}

export const consumeOptions = {
  url: {
    ...many('mqtts://HOST:PORT of the broker; may be repeated, for nodes that are tried in turn'),
    demandOption: true,
  },
  ca: needed('CA of the broker (PEM)'),
  certificate: needed("the backend's certificate"),
  'private-key': needed('its private key'),
  tenant: many('only this tenant; may be repeated'),
  trust: many('CA of the gateways, to verify signatures: FILE, or TENANT=FILE; may be repeated'),
  output: { ...text('append rows to this file; - prints them'), default: '-' },
  postgres: text('insert rows into this database instead: postgres://USER@HOST/DATABASE'),
  state: text('remember here what was written, over restarts'),
  evidence: text('keep checkpoints, events and findings in this folder, append-only'),
  'evidence-key': text(
    'signs the evidence (Ed25519, PEM), made where it is missing; left out: DIR.key beside it',
  ),
  heads: text('append the signed heads of the evidence to this file too, which lies elsewhere'),
  'heads-every': { ...text('sign the head of what grows so often'), default: '1m' },
  'log-name': logName,
  replay: {
    type: 'boolean',
    default: false,
    describe: 'first take the messages again that --state keeps as refused',
  },
  backlog: {
    ...text('of each tenant that sends faster than its turns come, so much may wait in --state'),
    default: '1GB',
  },
  seconds: { type: 'number', requiresArg: true, describe: 'stop after this many seconds' },
  count: { type: 'number', requiresArg: true, describe: 'stop after the batch with the N-th row' },
  protocol: {
    type: 'string',
    choices: ['5', '3.1.1'] as const,
    default: '5' as const,
    describe: 'MQTT version',
  },
  'client-id': text('a fixed client id: the broker keeps for us what comes while we are away'),
  'session-expiry': { ...text('… for this long'), default: '1d' },
  'gap-after': { ...text('report a gap that lasts this long'), default: '30s' },
} as const;

export interface Limits {
  /** Undefined: until told to stop. */
  runMs: number | undefined;
  rowsMax: number;
  gapGraceMs: number;
  parked: ParkedLimits;
}

/** Refused messages that are kept: a day of a small gateway's batches, for a version that can read them. */
const refusedBytesMax = 16e6;
const tenantRefusedBytesMax = 256e6;
const heldBytesMax = 128e6;
/** Without a state file, waiting messages are in memory. */
const memoryBytesMax = 16e6;

/** Throws Usage. */
export function limitsOf(args: ConsumeArguments): Limits {
  const seconds = positive(args, 'seconds');
  if (args.postgres !== undefined && args.output !== '-') {
    throw new MerestoneError('Usage', 'rows go to --output or to --postgres, not to both');
  }
  if (args.evidence !== undefined && args.trust.length === 0) {
    throw new MerestoneError('Usage', '--evidence needs --trust: unverified messages are no evidence', {
      hint: 'give the CA of the gateways',
    });
  }
  if (args.heads !== undefined && args.evidence === undefined) {
    throw new MerestoneError('Usage', '--heads needs --evidence: they are the heads of that');
  }
  if (args.replay && args.state === undefined) {
    throw new MerestoneError('Usage', '--replay needs --state: that is where refused messages are kept');
  }
  return {
    runMs: seconds === undefined ? undefined : seconds * 1000,
    rowsMax: positive(args, 'count') ?? Infinity,
    gapGraceMs: duration(args, 'gap-after'),
    parked: {
      waitingBytesMax: args.state === undefined ? memoryBytesMax : size(args.backlog),
      heldBytesMax: args.state === undefined ? memoryBytesMax : heldBytesMax,
      refusedBytesMax,
      tenantRefusedBytesMax,
    },
  };
}

/** Throws Usage, FileNotFound, FileUnreadable. */
export function subscriberOptionsOf(args: ConsumeArguments): SubscriberOptions {
  const [first = brokerOf(''), ...others] = args.url.map(brokerOf);
  const invalid = args.tenant.find((tenant) => !isSegment(tenant));
  if (invalid !== undefined) throw new MerestoneError('Usage', `'${invalid}' is no tenant`);
  return {
    brokers: [first, ...others],
    ca: readInput(args.ca, 'CA certificate'),
    certificate: readInput(args.certificate, 'certificate'),
    privateKey: readInput(args['private-key'], 'private key'),
    protocol: args.protocol,
    tenants: args.tenant,
    ...(args['client-id'] !== undefined && { clientId: args['client-id'] }),
    // Four bytes in the packet, of which the highest value means no expiry (MQTT 5 §3.1.2.11.2).
    sessionExpirySeconds: Math.min(Math.ceil(duration(args, 'session-expiry') / 1000), 0xffff_ffff),
  };
}

function brokerOf(url: string): BrokerAddress {
  const broker = parseBrokerUrl(url);
  if ('fault' in broker) throw faultError('Usage', `--url is no mqtts:// address: ${broker.fault}`);
  return broker;
}

function positive(args: ConsumeArguments, name: 'seconds' | 'count'): number | undefined {
  const value = args[name];
  if (value === undefined || value > 0) return value;
  throw new MerestoneError('Usage', `--${name} must be a number above 0`);
}

export function duration(
  args: ConsumeArguments,
  name: 'gap-after' | 'session-expiry' | 'heads-every',
): number {
  try {
    return parseDuration(args[name]);
  } catch (cause) {
    const { message } = cause as Error;
    throw new MerestoneError('Usage', `--${name}: ${message}`, { hint: 'write 30s, 5m or 1d', cause });
  }
}

function size(text: string): number {
  try {
    return parseSize(text);
  } catch (cause) {
    const { message } = cause as Error;
    throw new MerestoneError('Usage', `--backlog: ${message}`, { hint: 'write 500MB or 2GB', cause });
  }
}
