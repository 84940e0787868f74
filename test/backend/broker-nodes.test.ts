import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { before, describe, it } from 'node:test';
import { connectAsync } from 'mqtt';
import { BrokerChoice, type Lookup } from '../../src/backend/broker-choice.ts';
import { faultOfConnection, lastingFaultOf } from '../../src/backend/broker-fault.ts';
import { Subscriber } from '../../src/backend/subscriber.ts';
import type { MerestoneError } from '../../src/base/error.ts';
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
} from '../../src/simulator/certificate-authority.ts';
import { Cluster } from '../support/cluster.ts';
import { freePort } from '../support/free-port.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { packetType, type Script } from '../support/scripted-broker.ts';
import { until } from '../support/until.ts';
import { hurried } from '../uplink/rig.ts';

/** A name of which the resolver gives these addresses, in another order each time. */
function rotating(...addresses: string[]): Lookup {
  let calls = 0;
  return (_host, _options, done) => {
    const from = calls++ % addresses.length;
    const found = [...addresses.slice(from), ...addresses.slice(0, from)];
    done(
      null,
      found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
}

/** A broker that welcomes, or not, and grants what is asked for, or not. */
function script(answers: { connack?: number; suback?: number }): Script {
  return (packet, peer) => {
    if (packet.type === packetType.connect && answers.connack !== undefined) {
      peer.send([0x20, 3, 0, answers.connack, 0]);
    }
    const isSubscription = packet.type === packetType.subscribe || packet.type === 10;
    if (!isSubscription || answers.suback === undefined) return;
    const [high, low] = packet.body;
    const kind = packet.type === packetType.subscribe ? 0x90 : 0xb0;
    peer.send([kind, 4, high!, low!, 0, kind === 0x90 ? answers.suback : 0]);
  };
}

describe('the nodes that a consumer may connect to', () => {
  let authority: Authority;
  let backend: IssuedCertificate;

  before(async () => {
    authority = await createAuthority('Test CA');
    backend = await authority.issue({ organization: 'backend', commonName: 'backend' });
  });

  /** What became of a consumer that may go to `urls`, in a fifth of the time. */
  function subscribe(urls: string[], lookup: Lookup, more: MoreOptions = {}): Heard & AsyncDisposable {
    const heard: Heard = { waiting: [], shortSessions: [], online: 0, failure: undefined };
    const brokers = urls.map((url) => ({ host: new URL(url).hostname, port: Number(new URL(url).port) }));
    const [first, ...others] = brokers;
    const subscriber = new Subscriber(
      {
        brokers: [first!, ...others],
        ca: Buffer.from(authority.certificatePem),
        certificate: Buffer.from(backend.certificatePem),
        privateKey: Buffer.from(backend.privateKeyPem),
        protocol: '5',
        tenants: [],
        sessionExpirySeconds: 60,
        ...(more.clientId !== undefined && { clientId: more.clientId }),
      },
      {
        onMessage: () => {},
        room: () => undefined,
        onOnline: () => heard.online++,
        onWaiting: (words) => heard.waiting.push(words),
        onShortSession: (words) => heard.shortSessions.push(words),
        onFailed: (error) => (heard.failure = error as MerestoneError),
      },
      {
        clock: hurried(5),
        lookup,
        ...(more.keepaliveSeconds && { keepaliveSeconds: more.keepaliveSeconds }),
      },
    );
    return Object.assign(heard, { [Symbol.asyncDispose]: () => subscriber.close(Promise.resolve()) });
  }

  interface MoreOptions {
    clientId?: string;
    keepaliveSeconds?: number;
  }

  interface Heard {
    waiting: string[];
    shortSessions: string[];
    online: number;
    failure: MerestoneError | undefined;
  }

  it('are all addresses of one name, whatever order the resolver gives: silent, refusing and strange ones are left', async () => {
    await using cluster = await Cluster.start(authority, {
      '127.0.0.1': 'silent',
      '127.0.0.2': script({}),
      '127.0.0.3': script({ connack: 0x87 }),
      '127.0.0.4': 'strange',
      '127.0.0.5': script({ connack: 0 }),
      '127.0.0.6': script({ connack: 0, suback: 0x87 }),
      '::1': script({ connack: 0, suback: 1 }),
    });
    const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.0.6', '::1'];
    const lookup: Lookup = (_host, _options, done) => {
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    };
    await using heard = subscribe([cluster.url], lookup);
    await until(() => heard.online === 1, 'it listens');
    assert.equal(heard.failure, undefined);
    const name = (address: string): string => cluster.name(address);
    const said = (address: string): string[] =>
      heard.waiting.filter((words) => words.startsWith(name(address)));
    assert.deepEqual(said('127.0.0.1'), [
      `${name('127.0.0.1')} does not answer TLS so far; next is ${name('127.0.0.2')}`,
      `${name('127.0.0.1')}: no answer to TLS within 10 s; next is ${name('127.0.0.2')}`,
    ]);
    assert.match(said('127.0.0.2').at(-1)!, /no answer to CONNECT within 10 s; next is .*127\.0\.0\.3/);
    assert.match(said('127.0.0.3')[0]!, /Not authorized \(let the backend's certificate connect/);
    assert.match(said('127.0.0.4')[0]!, /\(check --ca: it must have issued/);
    assert.match(said('127.0.0.5').at(-1)!, /no answer to SUBSCRIBE within 10 s/);
    assert.match(said('127.0.0.6')[0]!, /does not let us read t\/\+\/\+\/# .*; next is .*::1/);
  });

  it('are given up where time mends none of them, each with its own fault', async () => {
    await using cluster = await Cluster.start(authority, {
      '127.0.0.3': script({ connack: 0x87 }),
      '127.0.0.4': 'strange',
      '127.0.0.6': script({ connack: 0, suback: 0x87 }),
    });
    const lookup = rotating('127.0.0.3', '127.0.0.4');
    await using heard = subscribe([cluster.url, `mqtts://127.0.0.6:${cluster.port}`], lookup);
    await until(() => heard.failure !== undefined, 'it ends');
    const { code, message, hint } = heard.failure!;
    assert.equal(code, 'BrokerRefused');
    assert.match(message, /\(127\.0\.0\.3\): Connection refused: Not authorized/);
    assert.match(message, /\(127\.0\.0\.4\): (unable to|self)/);
    assert.match(message, new RegExp(`, 127\\.0\\.0\\.6:${cluster.port}: the broker does not let us read`));
    assert.match(hint!, /certificate connect.*check --ca.*read these topics|check --ca.*certificate connect/);
    assert.equal(heard.online, 0);
  });

  it('are not given up as long as one of them may come back', async () => {
    await using cluster = await Cluster.start(authority, {
      '127.0.0.3': script({ connack: 0x87 }),
      '127.0.0.4': 'strange',
    });
    const lookup = rotating('127.0.0.3', '127.0.0.4', '127.0.0.7');
    await using heard = subscribe([cluster.url], lookup);
    const refused = `${cluster.name('127.0.0.7')}: connect ECONNREFUSED`;
    await until(() => heard.waiting.some((words) => words.startsWith(refused)), 'the third is tried');
    await cluster.add('127.0.0.7', script({ connack: 0, suback: 1 }));
    await until(() => heard.online === 1, 'it listens');
    assert.equal(heard.failure, undefined);
  });

  it('that cannot be reached from this machine do not keep a fault from being told', () => {
    const unreachable = {
      node: 'b',
      ...faultOfConnection(Object.assign(new Error('x'), { code: 'ENETUNREACH' })),
    };
    const refused = { node: 'a', ...faultOfConnection(Object.assign(new Error('no'), { code: 0x87 })) };
    const away = {
      node: 'c',
      ...faultOfConnection(Object.assign(new Error('gone'), { code: 'ECONNREFUSED' })),
    };
    assert.match(lastingFaultOf([unreachable, refused])!.message, /^b: x, a: no$/);
    assert.equal(lastingFaultOf([unreachable]), undefined);
    assert.equal(lastingFaultOf([refused, away]), undefined);
  });

  it('have each address tried once in a round, and a name that is not known costs one try', async () => {
    const lookup: Lookup = (host, _options, done) => {
      if (host === 'none.example') return done(new Error('unknown'), []);
      rotating('127.0.0.8', '127.0.0.9')(host, { all: true }, done);
    };
    const port = await freePort();
    const choice = new BrokerChoice(
      [
        { host: 'none.example', port },
        { host: 'cluster.example', port },
        { host: '127.0.0.10', port },
      ],
      {},
      lookup,
    );
    const tried: string[] = [];
    for (let tries = 1; tries <= 8; tries++) {
      const socket = choice.connect();
      await once(socket, 'close').catch(() => {});
      tried.push(choice.current);
      const faults = choice.leave({ reason: 'x' });
      assert.equal(faults?.length, tries % 4 === 0 ? 4 : undefined);
    }
    const round = [
      `none.example:${port}`,
      `cluster.example:${port} (127.0.0.8)`,
      `cluster.example:${port} (127.0.0.9)`,
      `127.0.0.10:${port}`,
    ];
    assert.deepEqual(tried, [...round, ...round]);
  });

  it('bound nothing by what they say: no keep alive is longer than ours, and a session kept too short is told', async () => {
    for (const keepalive of [
      [0xff, 0xff],
      [0, 0],
    ]) {
      let pings = 0;
      await using cluster = await Cluster.start(authority, {
        '127.0.0.1': (packet, peer) => {
          // Server Keep Alive, and Session Expiry Interval of 10 s [MQTT5 3.2.2.3].
          if (packet.type === packetType.connect)
            peer.send([0x20, 11, 0, 0, 8, 0x13, ...keepalive, 0x11, 0, 0, 0, 10]);
          else script({ connack: 0, suback: 1 })(packet, peer);
          if (packet.type === 12) {
            pings += 1;
            peer.send([0xd0, 0]);
          }
        },
      });
      await using heard = subscribe([cluster.url], rotating('127.0.0.1'), {
        clientId: 'backend-1',
        keepaliveSeconds: 1,
      });
      await until(() => heard.online === 1 && pings > 0, 'it asks whether the broker is there');
      assert.equal(heard.shortSessions.length, 1);
      assert.match(
        heard.shortSessions[0]!,
        /keeps this session for 10 s while we are away, and was asked for 60 s/,
      );
    }
  });

  it('are held to verified TLS with forward secrecy, for any environment variables', async () => {
    const named = { commonName: 'cluster.example', server: { dnsNames: ['cluster.example'] } };
    const own = await authority.issue(named);
    const nameless = await authority.issue({ commonName: 'cluster.example', server: {} });
    const otherUser = await (await createAuthority('Stranger CA')).issue(named);
    const cases = [
      [otherUser, {}, /unable to (verify|get)/],
      [nameless, {}, /does not match certificate|altnames/],
      [own, { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }, /: ssl\/tls alert handshake failure$/],
    ] as const;
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      for (const [{ certificatePem: cert, privateKeyPem: key }, options, reason] of cases) {
        const server = createServer({ cert, key, ...options }, (socket) => socket.on('error', () => {}));
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const { port } = server.address() as AddressInfo;
        await using heard = subscribe([`mqtts://cluster.example:${port}`], rotating('127.0.0.1'));
        await until(() => heard.failure !== undefined || heard.waiting.length > 0, 'it is told');
        server.close();
        assert.match(heard.failure?.message ?? '', reason);
      }
    } finally {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    }
  });
});

describe('a consumer that reads nothing for a while', () => {
  it('keeps its session, on a broker that would end it and one that it would take for dead', async () => {
    await using broker = await Mosquitto.start();
    const backend = await broker.authority.issue({ organization: 'backend', commonName: 'backend' });
    const gateway = await broker.authority.issue({ organization: 'acme', commonName: 'acme_gw-0001' });
    const { promise, resolve } = Promise.withResolvers<void>();
    let room: Promise<void> | undefined = promise;
    const waiting: string[] = [];
    let online = 0;
    let messages = 0;
    const subscriber = new Subscriber(
      {
        brokers: [{ host: 'localhost', port: broker.port }],
        ca: Buffer.from(broker.authority.certificatePem),
        certificate: Buffer.from(backend.certificatePem),
        privateKey: Buffer.from(backend.privateKeyPem),
        protocol: '5',
        tenants: [],
        sessionExpirySeconds: 60,
      },
      {
        onMessage: (_arrival, acknowledge) => {
          messages++;
          acknowledge();
        },
        room: () => room,
        onOnline: () => online++,
        onWaiting: (words) => waiting.push(words),
        onShortSession: () => {},
        onFailed: (error) => waiting.push(String(error)),
      },
      { keepaliveSeconds: 1 },
    );
    await using stack = new AsyncDisposableStack();
    stack.defer(() => subscriber.close(Promise.resolve()));
    await until(() => online === 1, 'it listens');
    const client = await connectAsync(broker.url, {
      ca: broker.authority.certificatePem,
      cert: gateway.certificatePem,
      key: gateway.privateKeyPem,
    });
    stack.defer(() => client.endAsync(true));
    for (let seq = 0; seq < 5; seq++) {
      await client.publishAsync('t/acme/acme_gw-0001/telemetry', String(seq), { qos: 1 });
    }
    await until(() => messages === 1, 'the first is read');
    // Twice what either side waits for the other [MQTT-3.1.2-24].
    await new Promise((done) => setTimeout(done, 4000));
    room = undefined;
    resolve();
    await until(() => messages === 5, 'the rest is read');
    assert.deepEqual(waiting, []);
    assert.equal(online, 1);
  });
});
