import { MerestoneError } from '../base/error.ts';
import { type OwnedOrigin, topicOf } from '../messages/topic.ts';
import { refusalText } from './connect-fault.ts';
import { clip } from './fault-text.ts';
import { describeReasonCode } from './reason-code.ts';
import type { UplinkOptions } from './options.ts';
import type { BrokerTarget } from './broker-target.ts';

/** Who speaks to whom, for the words of a fault. */
export interface Parties {
  target: BrokerTarget;
  protocol: UplinkOptions['protocol'];
  clientId: string;
  /** This broker has taken what this client sent, in an earlier session. */
  hasWorked?: boolean;
}

const otherVersion = { '5': '3.1.1', '3.1.1': '5' } as const;

/** A CONNACK that is no welcome. `code`: MQTT 5's reason codes from 0x80, MQTT 3.1.1's return codes 1 to 5. */
export function connackFault(
  code: number,
  { target, protocol, clientId }: Parties,
  serverReference?: string,
): MerestoneError {
  const refused = (message: string, hint: string): MerestoneError =>
    new MerestoneError('UplinkRefused', message, { subject: target.name, hint, retryable: true });
  switch (code) {
    case 0x01:
    case 0x84:
      return refused(
        `${target.host} speaks no MQTT ${protocol}`,
        `set uplink.protocol: ${otherVersion[protocol]}`,
      );
    case 0x02:
    case 0x85:
      return refused(
        `it refuses the client id ${clientId}`,
        'let the broker take the CN of the certificate as client id',
      );
    case 0x03:
    case 0x88:
    case 0x89:
      return refused('it is too busy for another client', 'it is tried again; see the load of the broker');
    case 0x04:
    case 0x86:
      return refused(
        'it asks for a user name and password',
        'have the broker go by the client certificate (Mosquitto: use_identity_as_username true)',
      );
    case 0x05:
    case 0x87:
      return refused(
        `${clientId} is not authorized`,
        `see what the broker allows this certificate, the will on its status topic included`,
      );
    case 0x9c:
    case 0x9d:
      return refused(...elsewhereText(code, serverReference));
    case 0x95:
      return refused(
        'it takes no packet as large as CONNECT with its will',
        'raise its limit (Mosquitto: message_size_limit and max_packet_size)',
      );
    case 0x9a:
      return refused(
        'it keeps no retained messages',
        'switch them on: status, meta and checkpoint need them',
      );
    default:
      return refused(`it refuses the session: ${describeReasonCode(code)}`, 'see the log of the broker');
  }
}

/** [MQTT5 4.13.2] */
function elsewhereText(code: number, serverReference: string | undefined): [message: string, hint: string] {
  const where = serverReference === undefined ? '' : `: ${clip(serverReference)}`;
  return [
    `it sends this client to another server${where} (${describeReasonCode(code)})`,
    serverReference === undefined
      ? 'ask who runs the broker for its address, and write it into uplink.url'
      : 'if that is the right one, write it into uplink.url; it is never followed by itself',
  ];
}

/** A broker whose CONNACK grants less than at-least-once delivery needs [MQTT5 3.2.2.3.4]. */
export function qosFault({ target }: Parties): MerestoneError {
  return new MerestoneError('UplinkRefused', 'it takes QoS 0 only, so it would acknowledge nothing', {
    subject: target.name,
    hint: 'allow QoS 1 on the broker',
    retryable: true,
  });
}

/** A DISCONNECT from the broker (MQTT 5). */
export function disconnectFault(
  code: number,
  { target, clientId }: Parties,
  serverReference?: string,
): MerestoneError {
  if (code === 0x9c || code === 0x9d) {
    const [message, hint] = elsewhereText(code, serverReference);
    return new MerestoneError('UplinkClosed', message, { subject: target.name, hint, retryable: true });
  }
  const takenOver = code === 0x8e;
  return new MerestoneError(
    'UplinkClosed',
    takenOver
      ? `another client connected as ${clientId}`
      : `it ended the session: ${describeReasonCode(code)}`,
    {
      subject: target.name,
      hint: takenOver
        ? 'find the second gateway that runs with this certificate, and give it its own'
        : 'see the log of the broker',
      retryable: true,
    },
  );
}

/** The connection ended before the CONNACK: `cause` is the socket's error where there was one. */
export function unwelcomeFault(cause: Error | undefined, { target, protocol }: Parties): MerestoneError {
  const said = wordsOf(cause, target);
  if (said !== undefined) return said;
  return new MerestoneError('UplinkRefused', 'it closed the connection without an answer to CONNECT', {
    subject: target.name,
    hint:
      protocol === '5'
        ? 'if it speaks no MQTT 5, set uplink.protocol: 3.1.1; else its log says whether it refuses this certificate'
        : 'the log of the broker says whether it refuses this certificate or this client id',
    retryable: true,
    ...(cause && { cause }),
  });
}

/** An established session ended. `cause` is the socket's or the parser's error where there was one. */
export function closedFault(cause: Error | undefined, { target }: Parties): MerestoneError {
  const said = wordsOf(cause, target);
  if (said !== undefined) return said;
  const detail = cause === undefined ? '' : ` (${cause.message})`;
  return new MerestoneError('UplinkClosed', `the connection was closed${detail}`, {
    subject: target.name,
    hint: 'it is opened again; if this repeats, the log of the broker says why',
    retryable: true,
    ...(cause && { cause }),
  });
}

/** Under TLS 1.3 the broker's word on our certificate comes when the handshake is over on our side. */
function wordsOf(cause: Error | undefined, target: BrokerTarget): MerestoneError | undefined {
  const words = cause && refusalText(cause);
  if (words === undefined) return undefined;
  const { code, message, hint } = words;
  return new MerestoneError(code, message, { subject: target.name, hint, cause, retryable: true });
}

/** Nothing came back for so long that the connection counts as dead. */
export function silentFault(what: string, { target }: Parties): MerestoneError {
  return new MerestoneError('UplinkClosed', what, {
    subject: target.name,
    hint: 'it is opened again; check the link if this repeats',
    retryable: true,
  });
}

/** The broker hung up on the very first publishes of a session, as RabbitMQ and Mosquitto do over a denied topic. */
export function deniedFault(
  cause: MerestoneError,
  origin: OwnedOrigin,
  { target, hasWorked }: Parties,
): MerestoneError {
  const root = topicOf(origin, 'status').replace(/[^/]+$/, '#');
  return new MerestoneError(
    'UplinkRefused',
    `it hung up on the first message below ${root}: ${cause.message}`,
    {
      subject: target.name,
      hint: deniedHint(root, hasWorked),
      cause,
      retryable: true,
    },
  );
}

/** What to do where the broker does not let us use our own topics, all of them below `root`. */
export function deniedHint(root: string, hasWorked = false): string {
  if (hasWorked) {
    return `it let this certificate before: see whether every node of the broker runs (in a cluster, the one that keeps the queue of this client) and what its log says; where its access control was changed, let this certificate write and read ${root} again`;
  }
  return `let this certificate write and read ${root} on the broker; if it could before, its log says what became of that (in a cluster, the node that keeps the queue of this client may be gone)`;
}

/** The broker hung up on a message larger than any that it took before in this session. */
export function sizeFault(cause: MerestoneError, bytes: number, { target }: Parties): MerestoneError {
  return new MerestoneError('UplinkClosed', `it hung up on a message of ${bytes} bytes: ${cause.message}`, {
    subject: target.name,
    hint: 'it is tried once more; then what is as large waits here; raise the limit of the broker, or lower batch.bytesMax',
    cause,
    retryable: true,
  });
}

/** The broker announced a packet larger than anything that it has to say to us. */
export function floodFault(bytes: number, { target }: Parties): MerestoneError {
  return new MerestoneError(
    'UplinkClosed',
    `it began to send a packet of ${bytes} bytes, which is not taken`,
    {
      subject: target.name,
      hint: 'find out who publishes below the topics of this gateway: its certificate may be in other hands; remove what is retained there',
      retryable: true,
    },
  );
}

/** The broker refuses what is published, and then closes the session. */
export function refusingFault(cause: MerestoneError, root: string, { target }: Parties): MerestoneError {
  return new MerestoneError('UplinkRefused', `${cause.message}, and before that it refused what was sent`, {
    subject: target.name,
    hint: `let this certificate write and read ${root} on the broker: 'merestone broker-policy' prints what it needs`,
    cause,
    retryable: true,
  });
}

/** What answers is no MQTT broker: a web server, a proxy. `bytes`: what it answered CONNECT with. */
export function noBrokerFault(bytes: Buffer, { target }: Parties): MerestoneError {
  const said = bytes
    .toString('latin1', 0, 24)
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim();
  return new MerestoneError('UplinkRefused', `what answers there is no MQTT broker: it says "${said}"`, {
    subject: target.name,
    hint: 'give uplink.url the host and port of MQTT over TLS, usually 8883',
    retryable: true,
  });
}

/** Sessions end within seconds of their beginning, again and again, and the broker does not say why. */
export function shortFault(cause: MerestoneError, { target, clientId }: Parties): MerestoneError {
  return new MerestoneError(
    'UplinkClosed',
    `${cause.message}; so it was with the sessions before, within seconds of their beginning`,
    {
      subject: target.name,
      hint: `find out whether a second gateway runs with this certificate: a broker keeps one session for ${clientId}, and throws out the other; else its log says why`,
      cause,
      retryable: true,
    },
  );
}
