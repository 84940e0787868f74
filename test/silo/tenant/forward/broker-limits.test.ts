import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Authority, createAuthority } from '../../../../src/simulator/certificate-authority.ts';
import type { TelemetryBatch } from '../../../../src/messages/telemetry.ts';
import { LiveSilo } from '../../../support/live-silo.ts';
import { Mosquitto } from '../../../support/mosquitto.ts';
import {
  packetType,
  parsePublish,
  type Peer,
  type RawPacket,
  ScriptedBroker,
} from '../../../support/scripted-broker.ts';
import { Site } from '../../../support/site.ts';
import { Subscriber } from '../../../support/subscriber.ts';
import { until } from '../../../support/until.ts';
import { hurried } from '../../../uplink/rig.ts';

/** Which of the fed samples arrived, by their number. */
function numbers(batches: readonly TelemetryBatch[]): Set<unknown> {
  return new Set(batches.flatMap(({ samples }) => samples.map(({ values }) => values['number'])));
}

function allOf(live: LiveSilo): Set<unknown> {
  return new Set(Array.from({ length: live.fed }, (_, index) => index + 1));
}

describe('a broker’s size limit', () => {
  let authority: Authority;
  let site: Site;
  let folder: string;

  before(async () => {
    authority = await createAuthority('Test CA');
    site = await Site.create(authority);
    await site.issueGateway('north', 'acme');
    await site.issueBackend();
  });
  after(() => site[Symbol.asyncDispose]());
  beforeEach(async () => {
    folder = await mkdtemp(join(site.folder, 'silo-'));
  });

  function start(url: string, protocol: '5' | '3.1.1', factor = 10): Promise<LiveSilo> {
    return LiveSilo.start(site.folder, hurried(factor), {
      uplink: { url, ca: site.path('ca.crt'), protocol },
      spool: { directory: folder },
      batch: { lingerMs: 1000, samplesMax: 500, bytesMax: 120_000 },
    });
  }

  async function feed(live: LiveSilo, count: number, points: number, pauseMs = 15): Promise<void> {
    for (let sample = 0; sample < count; sample += 1) {
      await live.feed(points);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  describe('on MQTT 3.1.1, where the broker acknowledges batches that it discards', () => {
    let broker: ScriptedBroker;
    let bytesMax: number;
    let arrived: TelemetryBatch[];
    let canaryBytes: number;
    let telemetryBytes: number;
    /** The last word of each topic that came through. */
    let kept: Set<string>;

    before(async () => {
      broker = await ScriptedBroker.start(authority, serve);
    });
    after(() => broker.close());
    beforeEach(() => {
      bytesMax = Infinity;
      arrived = [];
      canaryBytes = 0;
      telemetryBytes = 0;
      kept = new Set();
    });

    function serve(packet: RawPacket, peer: Peer): void {
      if (packet.type === packetType.connect) peer.send([0x20, 2, 0, 0]);
      if (packet.type === packetType.subscribe) peer.send([0x90, 3, packet.body[0]!, packet.body[1]!, 1]);
      if (packet.type !== packetType.publish) return;
      const { topic, packetId, rest } = parsePublish(packet);
      peer.send([0x40, 2, ...packetId]);
      if (topic.endsWith('/canary')) canaryBytes += rest.length;
      if (topic.endsWith('/telemetry')) telemetryBytes += rest.length;
      if (rest.length > bytesMax) return;
      kept.add(topic.replace(/.*\//, ''));
      if (topic.endsWith('/telemetry')) arrived.push(JSON.parse(rest) as TelemetryBatch);
      if (topic.endsWith('/canary')) peer.send(publish(topic, rest));
    }

    it('counts no discarded batch as accepted, makes smaller batches, and reports it', async () => {
      bytesMax = 5000;
      await using live = await start(broker.url, '3.1.1');
      await feed(live, 120, 40);
      await live.reached(
        ({ uplink }) => (uplink?.batches.accepted ?? 0) >= 5,
        'smaller batches are accepted',
      );
      const { uplink, spool } = live.status;
      assert.ok(
        uplink!.batches.accepted <= arrived.length,
        `${uplink!.batches.accepted} > ${arrived.length}`,
      );
      assert.ok(uplink!.packetBytesMax! >= 2500, `limit ${uplink!.packetBytesMax}`);
      assert.equal(spool!.quarantined, 0);
      // What was stored before waits; when the limit is lifted and tried again, it goes.
      if (uplink!.oversizeBatches > 0) assert.match(uplink!.reason!, /larger than the broker takes/);
      bytesMax = Infinity;
      await live.reached(
        (now) => now.spool!.batches === now.uplink!.oversizeBatches,
        'sent, but for what is too large',
      );
    });

    it('counts nothing as accepted if no batch is small enough', async () => {
      bytesMax = 200;
      await using live = await start(broker.url, '3.1.1');
      await feed(live, 40, 20);
      await live.reached(({ uplink }) => (uplink?.oversizeBatches ?? 0) >= 1, 'batches wait');
      const { uplink, spool } = live.status;
      assert.equal(arrived.length, 0);
      assert.equal(uplink!.batches.accepted, 0);
      assert.equal(uplink!.lastAnswer, 'too-large');
      assert.match(
        uplink!.reason!,
        /larger than the broker takes \(\d+ bytes\); raise its limit, or lower batch\.bytesMax/,
      );
      assert.equal(spool!.quarantined, 0);
      const warnings = live.log.filter(({ event }) => event.startsWith('batches are larger'));
      assert.equal(warnings.length, 1, JSON.stringify(warnings));
    });

    it('loses nothing while the limit is lowered and raised under load', async () => {
      await using live = await start(broker.url, '3.1.1', 40);
      await feed(live, 60, 40);
      await live.reached(({ uplink }) => (uplink?.batches.accepted ?? 0) >= 2, 'the first are accepted');
      bytesMax = 1500;
      await feed(live, 60, 40);
      await live.reached(({ uplink }) => uplink!.packetBytesMax !== null, 'the limit is noticed');
      const { uplink } = live.status;
      assert.ok(uplink!.batches.accepted <= arrived.length);
      bytesMax = Infinity;
      await feed(live, 20, 40);
      // It is tried again after ten minutes of the silo's clock, which runs faster here.
      await live.reached(({ spool }) => spool!.batches === 0, 'all is delivered');
      assert.deepEqual(numbers(arrived), allOf(live));
      assert.equal(live.status.spool!.quarantined, 0);
      assert.equal(live.status.uplink!.reason, null);
    });

    it('gets the retained meta and checkpoint once it accepts their size', async () => {
      bytesMax = 400;
      await using live = await start(broker.url, '3.1.1', 40);
      await feed(live, 1, 1);
      await live.reached(
        ({ uplink }) => /checkpoint is larger/.test(uplink?.reason ?? ''),
        'it is too large',
      );
      assert.ok(!kept.has('checkpoint'));
      bytesMax = Infinity;
      await live.reached(({ uplink }) => uplink!.reason === null, 'nothing is too large any more');
      assert.ok(kept.has('checkpoint'));
      assert.ok(kept.has('meta'));
    });

    it('spends a bounded share of the bytes on proof', async () => {
      const beganMs = performance.now();
      await using live = await start(broker.url, '3.1.1', 20);
      await feed(live, 500, 40, 5);
      await live.reached(({ spool }) => spool!.batches === 0, 'all is delivered');
      assert.ok(telemetryBytes > 300_000, `${telemetryBytes} bytes`);
      // What has waited ten seconds for its proof gets it whatever it costs: more of that on a slow machine.
      const waits = Math.ceil((performance.now() - beganMs) / 10_000);
      const bytesMax = 65_536 + 0.25 * telemetryBytes + waits * 20_000;
      assert.ok(canaryBytes < bytesMax, `${canaryBytes} bytes of canaries for ${telemetryBytes}`);
    });
  });

  const mosquittoCases: ['5' | '3.1.1', string][] = [
    ['3.1.1', 'message_size_limit'],
    ['3.1.1', 'max_packet_size'],
    ['5', 'message_size_limit'],
    ['5', 'max_packet_size'],
  ];
  for (const [protocol, limit] of mosquittoCases) {
    it(`of Mosquitto, ${limit} on MQTT ${protocol}, costs nothing: batches keep below it`, async () => {
      await using broker = await Mosquitto.start({ authority, config: [`${limit} 5000`] });
      await using subscriber = await Subscriber.open(site, broker.url);
      await using live = await start(broker.url, protocol);
      await feed(live, 100, 40);
      await live.reached(({ uplink }) => (uplink?.batches.accepted ?? 0) >= 8, 'batches are accepted');
      await until(() => subscriber.batches.length >= live.status.uplink!.batches.accepted, 'they arrive');
      assert.equal(live.status.spool!.quarantined, 0);
      assert.ok(live.status.uplink!.oversizeBatches <= 6, `${live.status.uplink!.oversizeBatches} wait`);
      // The operator lifts the limit: what waited goes out.
      await broker.stop();
      await broker.setConfig([]);
      await broker.start();
      await live.reached(({ spool }) => spool!.batches === 0, 'all is delivered');
    });
  }

  it('of 350 bytes for a while keeps the backlog, which is sent when the limit rises', async () => {
    await using broker = await Mosquitto.start({ authority, config: ['max_packet_size 350'] });
    await using live = await start(broker.url, '5');
    await feed(live, 40, 40);
    await live.reached(({ uplink }) => (uplink?.oversizeBatches ?? 0) >= 3, 'batches wait');
    assert.equal(live.status.spool!.quarantined, 0);
    assert.equal(live.status.uplink!.packetBytesMax, 350);
    assert.match(live.status.uplink!.reason!, /larger than the broker takes \(350 bytes\)/);
    await broker.stop();
    await broker.setConfig([]);
    await broker.start();
    await using subscriber = await Subscriber.open(site, broker.url);
    await live.reached(({ spool }) => spool!.batches === 0, 'the backlog is delivered');
    await until(() => numbers(subscriber.batches).size >= live.fed - 5, 'it arrived');
    const states = subscriber.events.flatMap((event) =>
      event.kind === 'quota' && event.quota === 'broker-packet-bytes' ? [event.state] : [],
    );
    assert.deepEqual(states, ['reached', 'cleared']);
    assert.equal(live.status.uplink!.reason, null);
  });
});

/** A PUBLISH at QoS 0. */
function publish(topic: string, payload: string): Buffer {
  const body = Buffer.concat([Buffer.from([0, topic.length]), Buffer.from(topic), Buffer.from(payload)]);
  const header: number[] = [0x30];
  for (let left = body.length; ; ) {
    const digit = left % 128;
    left = Math.floor(left / 128);
    header.push(left > 0 ? digit + 128 : digit);
    if (left === 0) break;
  }
  return Buffer.concat([Buffer.from(header), body]);
}
