import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Authority, createAuthority } from '../../../../src/simulator/certificate-authority.ts';
import { runCommand } from '../../../support/daemon.ts';
import { LeapingClock } from '../../../support/leaping-clock.ts';
import { LiveSilo } from '../../../support/live-silo.ts';
import { Mosquitto } from '../../../support/mosquitto.ts';
import { packetType, parsePublish, ScriptedBroker } from '../../../support/scripted-broker.ts';
import { Site, siloEntry } from '../../../support/site.ts';
import { Subscriber } from '../../../support/subscriber.ts';
import { until } from '../../../support/until.ts';
import { hurried } from '../../../uplink/rig.ts';

describe('quarantined batches', () => {
  let authority: Authority;
  let site: Site;

  before(async () => {
    authority = await createAuthority('Test CA');
    site = await Site.create(authority);
    await site.issueGateway('north', 'acme');
    await site.issueBackend();
  });
  after(() => site[Symbol.asyncDispose]());

  it('are sent again on request, and the audit log names who asked', async () => {
    let refuses = true;
    const arrived: string[] = [];
    await using broker = await ScriptedBroker.start(authority, (packet, peer) => {
      if (packet.type === packetType.connect) peer.send([0x20, 3, 0, 0, 0]);
      if (packet.type !== packetType.publish) return;
      const { topic, packetId, rest } = parsePublish(packet);
      const isRefused = refuses && topic.endsWith('/telemetry') && rest.includes('"number":1}');
      if (!isRefused) arrived.push(rest);
      // 0x99: payload format invalid.
      peer.send(isRefused ? [0x40, 3, ...packetId, 0x99] : [0x40, 2, ...packetId]);
    });
    await using live = await LiveSilo.start(site.folder, hurried(100), {
      uplink: { url: broker.url, ca: site.path('ca.crt') },
      spool: { directory: await mkdtemp(join(site.folder, 'silo-')) },
      batch: { lingerMs: 10, samplesMax: 1, bytesMax: 120_000 },
    });
    for (let count = 0; count < 100 && (live.fed === 0 || live.status.spool?.quarantined !== 1); count += 1) {
      await live.feed(1);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await live.reached(({ spool }) => spool!.quarantined === 1 && spool!.batches === 0, 'it is quarantined');
    refuses = false;
    await live.retry('ada');
    assert.deepEqual(live.replies, [{ type: 'reply', id: 1, batches: 1, fault: null }]);
    await until(() => arrived.some((text) => text.includes('"number":1}')), 'it arrives');
    await live.reached(({ spool }) => spool!.batches === 0, 'it has left the spool');
    await until(
      () => arrived.some((text) => /"kind":"retry".*"by":"ada".*"batches":1/.test(text)),
      'the audit entry',
    );
  });

  it('are sent again automatically when the broker accepts larger packets', async () => {
    const clock = new LeapingClock(20);
    await using broker = await Mosquitto.start({ authority, config: ['max_packet_size 350'] });
    await using live = await LiveSilo.start(site.folder, clock, {
      uplink: { url: broker.url, ca: site.path('ca.crt'), noSubscribers: 'keep' },
      spool: { directory: await mkdtemp(join(site.folder, 'silo-')) },
      batch: { lingerMs: 10, samplesMax: 1, bytesMax: 120_000 },
    });
    await live.feed(60);
    await live.reached(({ uplink }) => uplink?.oversizeBatches === 1, 'the batch waits');
    await until(async () => {
      clock.leap(25 * 3_600_000);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return live.status.spool!.rejected > 0;
    }, 'it is quarantined');
    const retries = (): unknown[] =>
      live.log.flatMap(({ event, fields }) =>
        event === 'quarantined batches are sent once more' ? [fields] : [],
      );
    assert.deepEqual(retries(), []);
    const setLimit = async (...lines: string[]): Promise<void> => {
      const { connects } = live.status.uplink!;
      await broker.stop();
      await broker.setConfig(lines);
      await broker.start();
      await live.reached(({ uplink }) => uplink!.connects > connects && uplink!.state === 'online', 'online');
    };
    await setLimit();
    await using subscriber = await Subscriber.open(site, broker.url);
    const one = (): boolean => retries().length > 0 && live.status.spool!.batches === 0;
    await until(one, 'it has left the spool again');
    await until(() => subscriber.batches.length > 0, 'it arrives');
    assert.deepEqual(retries(), [{ batches: 1, by: 'the uplink: the broker takes larger packets' }]);
    assert.equal(subscriber.batches[0]!.samples[0]!.values['number'], 1);
    await until(
      () => subscriber.events.some((event) => event.kind === 'audit' && event.entry['kind'] === 'retry'),
      'the audit entry',
    );
    // Nothing is quarantined any more: another rise is no reason to write of it.
    clock.leap(2 * 3_600_000);
    await setLimit('max_packet_size 5000');
    await setLimit();
    assert.equal(retries().length, 1);
    assert.deepEqual([live.status.spool!.rejected, live.status.spool!.quarantined], [0, 1]);
  });

  it('are sent again by the command spool retry', async () => {
    const url = 'mqtts://127.0.0.1:1';
    await site.configure(
      `silos:\n${siloEntry('north', url)}${siloEntry('west', url)}buses: []\ndevices: []\n`,
    );
    const words = ['spool', 'retry', '--config', site.config];
    assert.equal((await runCommand(words)).exitCode, 69);
    const daemon = site.startDaemon();
    const north = [...words, '--silo', 'north'];
    await until(async () => (await runCommand(north)).exitCode === 0, 'the silo answers');
    assert.match((await runCommand(north)).stdout, /^silo north {2}it has no quarantined batch\n$/);
    const named = await runCommand([...north, '--json']);
    assert.deepEqual(JSON.parse(named.stdout), { silos: [{ silo: 'north', batches: 0, reason: null }] });
    // One silo has no certificate: what the other did is told, and that this one did nothing.
    const all = await runCommand(words);
    assert.equal(all.exitCode, 69, all.stderr);
    assert.match(all.stdout, /^silo north {2}it has no quarantined batch$/m);
    assert.match(
      all.stdout,
      /^silo west {2}nothing is sent once more: it has no spool open: .*west\.crt: there is no certificate/m,
    );
    const other = await runCommand([...words, '--silo', 'south']);
    assert.equal(other.exitCode, 64, other.stderr);
    assert.match(other.stderr, /there is no silo 'south'; name one of north, west/);
    assert.equal(await daemon.stop(), 0);
    const log = await runCommand(['audit', 'show', '--config', site.config, '--json']);
    const retries = log.stdout.split('\n').filter((line) => line.includes('"retry"'));
    assert.equal(retries.length, 4, log.stdout);
  });
});
