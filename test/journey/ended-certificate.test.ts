import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { SiloStatus } from '../../src/status/status.ts';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { type Daemon, eventually, runCommand } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { isolations, Site, siloEntry } from '../support/site.ts';

/** Lifetimes to try, ms: the first in which a busy machine loads the certificate is used. */
const lives = [3000, 8000, 20_000, 60_000];

async function issue(site: Site, notAfter: number): Promise<void> {
  const issued = await site.authority.issue({ organization: 'acme', commonName: 'acme_gw-0001', notAfter });
  await writeFile(site.path('plant.key'), issued.privateKeyPem, { mode: 0o600 });
  await writeFile(site.path('plant.crt'), issued.certificatePem);
}

async function untilSilo(
  daemon: Daemon,
  what: string,
  holds: (silo: SiloStatus) => boolean,
): Promise<SiloStatus> {
  return eventually(what, async () => {
    const silo = (await daemon.status()).silos[0]!;
    return holds(silo) && silo;
  });
}

/** A renewed certificate, which is about to end. */
async function takeUpShortLived(site: Site, daemon: Daemon): Promise<void> {
  for (const lifeMs of lives) {
    const notAfter = Math.floor((Date.now() + lifeMs) / 1000) * 1000;
    await issue(site, notAfter);
    daemon.signal('SIGHUP');
    while (Date.now() < notAfter + 1000) {
      const { identity } = (await daemon.status()).silos[0]!;
      if (identity?.notAfter === notAfter) return;
    }
  }
  assert.fail('no certificate was taken up before it ended');
}

/** It stores, pauses its uplink, and reports that at every place with a verdict. */
async function assertStoresOnly(site: Site, daemon: Daemon): Promise<void> {
  const held = await untilSilo(daemon, 'the uplink held', ({ uplink }) => uplink?.state === 'held');
  assert.match(held.uplink!.reason!, /its certificate ended on .*; renew it: 'merestone identity request'/);
  const { seq } = held.spool!;
  const more = await untilSilo(daemon, 'batches stored', ({ spool }) => spool!.seq > seq + 5);
  assert.equal(more.state, 'running');
  assert.deepEqual(more.samples.dropped, {});
  assert.equal(more.uplink!.state, 'held');
  const { stdout, exitCode } = await runCommand(['status', '--config', site.config]);
  assert.equal(exitCode, 2);
  assert.match(stdout, /failing +silo plant has a certificate that ended on .*: samples are stored/);
}

interface Notice {
  severity: string;
  kind: string;
  from?: number;
  to?: number;
  epoch?: string;
}

function noticesOf(stderr: string): Notice[] {
  return stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Notice);
}

for (const isolation of isolations)
  describe(`a gateway whose certificate ends (${isolation})`, () => {
    it('keeps storing, over a restart, and sends and signs everything with the renewed one', async () => {
      const authority = await createAuthority('Test CA');
      await using broker = await Mosquitto.start({ authority });
      await using site = await Site.create(authority);
      const port = await startPlantProcess(site, 1);
      await site.issueBackend();
      await site.configure(`silos:
${siloEntry('plant', broker.url, '', isolation)}    batch: { linger: 100ms }
${plantBus(port)}devices:
${plantDevice('unit-1', 1, 'plant', '100ms')}`);
      const consumer = site.startConsumer(broker.url);
      await issue(site, Date.now() + 3_600_000);
      let daemon = site.startDaemon();
      await untilSilo(daemon, 'batches accepted', ({ uplink }) => (uplink?.batches.accepted ?? 0) > 3);
      await takeUpShortLived(site, daemon);
      await assertStoresOnly(site, daemon);
      // Half of the runs: the power is cut.
      await daemon.stop(isolation === 'thread' ? 'SIGKILL' : 'SIGTERM');

      daemon = site.startDaemon();
      await assertStoresOnly(site, daemon);
      if (isolation === 'process') assert.equal(await daemon.stop(), 0);
      await issue(site, Date.now() + 3_600_000);
      if (isolation === 'process') daemon = site.startDaemon();
      else daemon.signal('SIGHUP');
      const sent = ({ uplink, spool }: SiloStatus): boolean =>
        uplink?.state === 'online' && uplink.batches.accepted > 10 && spool!.batches < 5;
      const last = (await untilSilo(daemon, 'everything sent', sent)).spool!.seq;
      assert.equal(await daemon.stop(), 0);

      const verified = await eventually('all of it verified', () => {
        const runs = noticesOf(consumer.stderr).filter(({ kind }) => kind === 'verified');
        return runs.some(({ to }) => to! >= last) && runs;
      });
      let next = 1;
      for (const { from, to } of verified.toSorted((a, b) => a.from! - b.from!)) {
        assert.ok(from! <= next, `${next} to ${from!} is not verified`);
        next = Math.max(next, to! + 1);
      }
      assert.ok(next > last);
      assert.equal(await consumer.stop(), 0, consumer.stderr);
      assert.doesNotMatch(consumer.stderr, /"severity":"(security|error)"|"kind":"(gap|clock-wrong)"/);

      const rows = (await site.rows()).filter(({ point, value }) => point === 'requests' && value !== null);
      const counts = rows.toSorted((a, b) => a.seq - b.seq || a.ts - b.ts).map(({ value }) => Number(value));
      assert.deepEqual(
        counts,
        counts.toSorted((a, b) => a - b),
        'samples stand in the order of their taking',
      );
      assert.equal(new Set(counts).size, counts.length, 'a value came twice');
      const seqs = new Set(rows.map(({ seq }) => seq));
      assert.equal(seqs.size, Math.max(...seqs), 'a hole in seq');
      assert.equal((await runCommand(['audit', 'verify', '--config', site.config])).exitCode, 0);
    });
  });
