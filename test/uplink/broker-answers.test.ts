import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Clock } from '../../src/base/clock.ts';
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
} from '../../src/simulator/certificate-authority.ts';
import type { UplinkOptions } from '../../src/uplink/options.ts';
import {
  packetType,
  parsePublish,
  type Peer,
  type RawPacket,
  ScriptedBroker,
} from '../support/scripted-broker.ts';
import { until } from '../support/until.ts';
import { gatewayRequest, hurried, Rig } from './rig.ts';

/** CONNACK, session present 0, code; MQTT 5 with its (here empty or given) properties. */
const connack5 = (code: number, properties: number[] = []): number[] => [
  0x20,
  3 + properties.length,
  0,
  code,
  properties.length,
  ...properties,
];
const connack3 = (code: number): number[] => [0x20, 2, 0, code];
const puback = (packetId: [number, number]): number[] => [0x40, 2, ...packetId];
const disconnect5 = (code: number): number[] => [0xe0, 2, code, 0];

/** A broker of MQTT 3.1.1 that acknowledges everything and grants every subscription. */
function acknowledge(packet: RawPacket, peer: Peer): void {
  if (packet.type === packetType.connect) peer.send(connack3(0));
  if (packet.type === packetType.publish) peer.send(puback(parsePublish(packet).packetId));
  if (packet.type === packetType.subscribe) peer.send([0x90, 3, packet.body[0]!, packet.body[1]!, 1]);
}

/** As `acknowledge`, and the canary's subscription works: QoS 0 is enough for an echo. */
function echo(packet: RawPacket, peer: Peer): void {
  acknowledge(packet, peer);
  if (packet.type !== packetType.publish) return;
  const { topic, rest } = parsePublish(packet);
  if (!topic.endsWith('/canary')) return;
  const body = Buffer.concat([Buffer.from([0, topic.length]), Buffer.from(topic), Buffer.from(rest)]);
  peer.send([0x30, body.length, ...body]);
}

describe('what brokers answer', () => {
  let authority: Authority;
  let gateway: IssuedCertificate;
  let folder: string;
  let broker: ScriptedBroker;

  before(async () => {
    authority = await createAuthority('Test CA');
    gateway = await authority.issue(gatewayRequest);
    folder = await mkdtemp(join(tmpdir(), 'broker-answers-'));
    await writeFile(join(folder, 'ca.crt'), authority.certificatePem);
    broker = await ScriptedBroker.start(authority, () => {});
  });
  after(async () => {
    await broker.close();
    await rm(folder, { recursive: true, force: true });
  });

  function start(script: ScriptedBroker['script'], options: Partial<UplinkOptions> = {}, clock?: Clock): Rig {
    broker.script = script;
    return new Rig({ url: broker.url, ca: join(folder, 'ca.crt'), ...options }, gateway, clock);
  }

  const welcomes: [string, UplinkOptions['protocol'], number[] | 'hang up', RegExp][] = [
    ['an old CONNACK 1', '5', connack3(1), /127\.0\.0\.1 speaks no MQTT 5; set uplink\.protocol: 3\.1\.1/],
    ['a CONNACK 0x84', '5', connack5(0x84), /speaks no MQTT 5; set uplink\.protocol: 3\.1\.1/],
    [
      'nothing but a hang-up',
      '5',
      'hang up',
      /without an answer to CONNECT; if it speaks no MQTT 5, set uplink\.protocol: 3\.1\.1/,
    ],
    ['a CONNACK 1 on MQTT 3.1.1', '3.1.1', connack3(1), /speaks no MQTT 3\.1\.1; set uplink\.protocol: 5/],
    ['a hang-up on MQTT 3.1.1', '3.1.1', 'hang up', /refuses this certificate or this client id/],
    ['a CONNACK 5 on MQTT 3.1.1', '3.1.1', connack3(5), /acme_gw-0001 is not authorized/],
    ['a CONNACK 0x87', '5', connack5(0x87), /acme_gw-0001 is not authorized/],
    ['a CONNACK 0x85', '5', connack5(0x85), /refuses the client id acme_gw-0001/],
    ['a CONNACK 0x86', '5', connack5(0x86), /asks for a user name.*use_identity_as_username/],
    ['a CONNACK 0x89', '5', connack5(0x89), /too busy/],
    ['a CONNACK 0x9a', '5', connack5(0x9a), /keeps no retained messages/],
    ['a CONNACK 0x95', '5', connack5(0x95), /no packet as large as CONNECT.*; raise its limit/],
    [
      'a web server',
      '5',
      [...Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
      /no MQTT broker: it says "HTTP\/1\.1 400 Bad Request"; give uplink\.url the host and port/,
    ],
    [
      'a mail server, on MQTT 3.1.1',
      '3.1.1',
      [...Buffer.from('220 mail\xff\x00ESMTP')],
      /no MQTT broker: it says "220 mail ESMTP"; give/,
    ],
    ['a CONNACK 0x8a', '5', connack5(0x8a), /banned \(0x8a\)/],
    [
      'a CONNACK 0x9c with a server reference',
      '5',
      connack5(0x9c, [0x1c, 0, 9, ...Buffer.from('other:883')]),
      /sends this client to another server: other:883 \(use another server \(0x9c\)\); if that is the right one/,
    ],
    [
      'a CONNACK 0x9d without one',
      '5',
      connack5(0x9d),
      /to another server \(server moved .*ask who runs the broker/,
    ],
    ['a CONNACK that grants QoS 0 only', '5', connack5(0, [0x24, 0]), /takes QoS 0 only/],
  ];
  for (const [name, protocol, answer, words] of welcomes) {
    it(`has words for ${name}`, async () => {
      await using rig = start((_packet, peer) => (answer === 'hang up' ? peer.hangUp() : peer.send(answer)), {
        protocol,
      });
      const status = await rig.reason(words);
      assert.equal(status.connects, 0);
      assert.equal(rig.readies, 0);
    });
  }

  it('names a second gateway with the same certificate, and does not fight it', async () => {
    await using rig = start((packet, peer) => {
      if (packet.type === packetType.connect) peer.send(connack5(0));
      if (packet.type !== packetType.publish) return;
      peer.send(puback(parsePublish(packet).packetId));
      setTimeout(() => peer.send(disconnect5(0x8e)), 20);
    });
    await rig.reason(/another client connected as acme_gw-0001; find the second gateway/);
  });

  it('accepts nothing from a broker that acknowledges all and passes on nothing', async () => {
    await using rig = start(acknowledge, { protocol: '3.1.1' }, hurried(20));
    await rig.reason(/nothing came back within 5 s from t\/acme\/acme_gw-0001\/canary/);
    assert.equal(rig.readies, 0);
    broker.script = echo;
    await rig.ready();
    assert.deepEqual(await rig.batch('x'), { kind: 'accepted' });
    // The ACL changes under the session: what is acknowledged from now on is thrown away.
    broker.script = acknowledge;
    assert.equal((await rig.batch('y')).kind, 'unsettled');
    assert.equal(rig.losses, 1);
  });

  it('shows which message a broker hangs up on', async () => {
    await using rig = start(
      (packet, peer) => {
        if (packet.type === packetType.publish && parsePublish(packet).rest === 'poison') peer.hangUp();
        else echo(packet, peer);
      },
      { protocol: '3.1.1' },
      hurried(10),
    );
    await rig.ready();
    assert.deepEqual(await rig.batch('good'), { kind: 'accepted' });
    for (let time = 0; time < 3; time += 1) {
      await rig.ready();
      assert.deepEqual(await rig.batch('poison'), { kind: 'unsettled', outstanding: 1, closedByPeer: true });
    }
    await rig.ready();
    assert.deepEqual(await rig.batch('good'), { kind: 'accepted' });
  });

  it('never has more in flight than the broker’s receive maximum', async () => {
    let unanswered: [number, number][] = [];
    let mostUnanswered = 0;
    await using rig = start((packet, peer) => {
      if (packet.type === packetType.connect) peer.send(connack5(0, [0x21, 0, 2]));
      if (packet.type !== packetType.publish) return;
      unanswered.push(parsePublish(packet).packetId);
      mostUnanswered = Math.max(mostUnanswered, unanswered.length);
      setTimeout(() => {
        for (const packetId of unanswered.splice(0)) peer.send(puback(packetId));
      }, 5);
    });
    await rig.ready();
    assert.equal(rig.limits[0]!.inflightMax, 2);
    // A caller that forgets its window.
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, index) => rig.batch(`${index}`)));
    assert.ok(outcomes.every(({ kind }) => kind === 'accepted'));
    assert.equal(mostUnanswered, 2);
    unanswered = [];
  });

  it('ends a session whose broker never answers a publish', async () => {
    const silent = (packet: RawPacket, peer: Peer): void => {
      if (packet.type === packetType.connect) peer.send(connack5(0));
    };
    await using rig = start(silent, {}, hurried(100));
    await rig.reason(/does not acknowledge t\/acme\/acme_gw-0001\/status/);
    broker.script = (packet, peer) => {
      silent(packet, peer);
      if (packet.type === packetType.publish) {
        const { topic, packetId } = parsePublish(packet);
        if (topic.endsWith('/status')) peer.send(puback(packetId));
      }
    };
    await rig.ready();
    assert.deepEqual(await rig.batch('x'), { kind: 'unsettled', outstanding: 1, closedByPeer: false });
    await rig.reason(/did not answer a publish within 5 min/);
  });

  it('gives up what is in flight when a stop’s deadline has come', async () => {
    await using rig = start((packet, peer) => {
      if (packet.type === packetType.connect) peer.send(connack5(0));
      if (packet.type !== packetType.publish) return;
      const { topic, packetId } = parsePublish(packet);
      if (topic.endsWith('/status')) peer.send(puback(packetId));
    });
    await rig.ready();
    const batch = rig.batch('x');
    await rig.uplink.stop(1200);
    assert.deepEqual(await batch, { kind: 'unsettled', outstanding: 1, closedByPeer: false });
    assert.equal(rig.uplink.status().state, 'closed');
    await rig.uplink.stop(1200);
  });

  it('names the other server that a DISCONNECT refers to', async () => {
    await using rig = start((packet, peer) => {
      if (packet.type === packetType.connect) peer.send(connack5(0));
      if (packet.type !== packetType.publish) return;
      const reference = [0x1c, 0, 5, ...Buffer.from('other')];
      peer.send([0xe0, 2 + reference.length, 0x9d, reference.length, ...reference]);
    });
    await rig.reason(/sends this client to another server: other \(server moved \(0x9d\)\)/);
  });

  it('says that nothing is retained, once in the log, and asks for nothing to be', async () => {
    const retained: boolean[] = [];
    await using rig = start((packet, peer) => {
      if (packet.type === packetType.connect) peer.send(connack5(0, [0x25, 0]));
      if (packet.type !== packetType.publish) return;
      retained.push((packet.flags & 1) === 1);
      peer.send(puback(parsePublish(packet).packetId));
    });
    await rig.ready();
    const { reason, retainAvailable, state } = rig.uplink.status();
    assert.deepEqual([state, retainAvailable], ['online', false]);
    assert.match(reason!, /keeps no retained messages, so who subscribes later misses status, meta/);
    assert.deepEqual(await rig.batch('x'), { kind: 'accepted' });
    assert.ok(retained.length >= 2 && !retained.includes(true));
    assert.equal(rig.log.filter(({ event }) => event === 'not kept').length, 1);
  });

  it('takes a receive maximum of 0 for 1, and no keep alive by which it would not notice a dead link', async () => {
    for (const keepalive of [
      [0xff, 0xff],
      [0, 0],
    ]) {
      let pings = 0;
      await using rig = start(
        (packet, peer) => {
          if (packet.type === packetType.connect) peer.send(connack5(0, [0x21, 0, 0, 0x13, ...keepalive]));
          if (packet.type === packetType.publish) peer.send(puback(parsePublish(packet).packetId));
          if (packet.type === 12) pings += 1;
        },
        { keepaliveSeconds: 1 },
      );
      await rig.ready();
      const outcomes = await Promise.all(['a', 'b', 'c'].map((text) => rig.batch(text)));
      assert.ok(outcomes.every(({ kind }) => kind === 'accepted'));
      // No PINGRESP comes.
      await until(() => pings > 0, 'it asks whether the broker is there');
      await rig.reason(/it no longer answers/);
    }
  });

  for (const protocol of ['5', '3.1.1'] as const) {
    it(`takes no packet of 200 MB, on MQTT ${protocol}`, async () => {
      const header = [0x30, 0x80, 0x84, 0xaf, 0x5f];
      const part = Buffer.alloc(1_000_000);
      let sent = 0;
      await using rig = start(
        (packet, peer) => {
          const { type } = packet;
          if (protocol === '3.1.1') echo(packet, peer);
          else if (type === packetType.connect) peer.send(connack5(0));
          else if (type === packetType.publish) peer.send(puback(parsePublish(packet).packetId));
          if (type !== packetType.publish || parsePublish(packet).topic.endsWith('/canary')) return;
          peer.send(header);
          for (let times = 0; times < 20; times += 1) peer.send(part);
          sent += 1;
        },
        { protocol },
      );
      const before = process.memoryUsage().arrayBuffers;
      await rig.reason(
        /began to send a packet of \d{9} bytes, which is not taken; find out who publishes below/,
      );
      await until(() => sent > 0, 'it was sent');
      const grown = process.memoryUsage().arrayBuffers - before;
      // The broker of this test keeps what it could not send in the same process.
      assert.ok(grown < 60_000_000, `${grown} bytes`);
    });
  }

  it('announces on MQTT 5 how large a packet may be that it is sent', async () => {
    const connects: string[] = [];
    await using rig = start((packet, peer) => {
      if (packet.type !== packetType.connect) return;
      connects.push(packet.body.toString('latin1'));
      peer.hangUp();
    });
    await rig.reason(/without an answer to CONNECT/);
    // Maximum Packet Size [MQTT5 3.1.2.11.4].
    assert.ok(connects[0]!.includes(String.fromCharCode(0x27, 0, 0, 0x40, 0)));
  });

  it('guesses at a second gateway from the third session that ends at once, and not before', async () => {
    await using rig = start((packet, peer) => {
      if (packet.type === packetType.connect) peer.send(connack5(0));
      if (packet.type !== packetType.publish) return;
      peer.send(puback(parsePublish(packet).packetId));
      setTimeout(() => peer.hangUp(), 20);
    });
    await rig.reason(/a second gateway runs with this certificate: .* one session for acme_gw-0001/);
    assert.ok(rig.readies >= 3, `${rig.readies} sessions`);
    const lost = rig.log.filter(({ event }) => event === 'uplink lost').slice(0, 2);
    assert.ok(lost.every(({ fields }) => !String(fields['reason']).includes('second gateway')));
  });

  it('guesses at no second gateway where the broker refuses what is sent, and then hangs up', async () => {
    await using rig = start((packet, peer) => {
      if (packet.type === packetType.connect) peer.send(connack5(0));
      if (packet.type !== packetType.publish) return;
      const [high, low] = parsePublish(packet).packetId;
      peer.send([0x40, 4, high, low, 0x87, 0]);
      setTimeout(() => peer.hangUp(), 20);
    });
    await rig.reason(
      /before that it refused what was sent; let this certificate write and read t\/acme\/acme_gw-0001\/# .*'merestone broker-policy'/,
    );
    assert.ok(rig.log.every(({ fields }) => !String(fields['reason']).includes('second gateway')));
  });

  it('survives a broker that sends what is no MQTT', async () => {
    await using rig = start((_packet, peer) => peer.send(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')));
    await until(() => rig.uplink.status().reason !== null, 'it says so');
    assert.equal(rig.readies, 0);
  });
});
