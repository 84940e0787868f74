import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createAuthority } from '../../../src/simulator/certificate-authority.ts';
import { fillDisk, makeDisk, whyNoDisk } from '../../support/mount.ts';
import { randomFrom } from '../../support/random.ts';
import { SiloRig } from '../../support/silo-rig.ts';
import { Site } from '../../support/site.ts';

/** How a disk fails, and what mends it. */
const faults: Record<string, (path: string, cutPower: () => void) => (() => void) | undefined> = {
  'is full': (path) => {
    const other = join(path, 'other');
    fillDisk(other);
    return () => rmSync(other);
  },
  'gives EIO': (_path, cutPower) => {
    cutPower();
    return undefined;
  },
};

describe('a silo whose disk', () => {
  for (const [fault, breakDisk] of Object.entries(faults)) {
    it(`${fault} over several minutes goes on, reports it, and counts every sample`, {
      skip: whyNoDisk('ext4'),
    }, async (t) => {
      const disk = makeDisk(t, 'ext4');
      await using site = await Site.create(await createAuthority('Test CA'));
      await site.issueGateway('north', 'acme');
      const rig = await SiloRig.start(site.folder, { spool: { directory: join(disk.path, 'silo') } });
      await rig.pass(10, () => rig.feed(1));
      const mend = breakDisk(disk.path, () => disk.cutPower());
      const random = randomFrom(1);
      // Entries for the audit log and noisy values that fill what room is left.
      await rig.pass(130, (second) => {
        if (second === 50) {
          const details = { by: 'root', method: 'reload', reason: 'no' };
          void rig.silo.handle({ type: 'record', act: { kind: 'refused-request', details } });
        }
        return rig.feed(1, { noise: random().toString(36).repeat(5000) });
      });
      const { state, spool, samples } = rig.status;
      assert.equal(state, 'running');
      assert.equal(spool?.disk.state, 'failing');
      assert.match(spool.disk.reason!, /disk/);
      assert.ok(!rig.status.quotas.some((quota) => quota.state === 'reached'), 'it is no quota');
      assert.equal(samples.received, 140);
      assert.equal(rig.credit, 140);
      const loud = rig.posted.filter((each) => each.type === 'log' && ['warn', 'error'].includes(each.level));
      assert.ok(loud.length <= 8, JSON.stringify(loud));
      if (mend === undefined) return rig.silo.handle({ type: 'stop' });
      mend();
      await rig.pass(70, () => rig.feed(1));
      assert.equal(rig.status.spool?.disk.state, 'good');
      const kinds = new Set(rig.audit().map(({ kind }) => kind));
      assert.ok(kinds.has('refused-request'), 'what happened meanwhile is in the audit log');
      assert.ok(kinds.has('signature'));
      const waiting = rig.status.spool.samples;
      const { dropped } = rig.status.samples;
      const gone = Object.values(dropped).reduce((sum, each) => sum + each, 0);
      const events = await rig.stop();
      const evicted = events.reduce((sum, each) => sum + (each.kind === 'dropped' ? each.samples : 0), 0);
      assert.equal(waiting + gone + evicted, 210);
      const told = events.reduce(
        (sum, each) => sum + (each.kind === 'samples-dropped' ? each.samples : 0),
        0,
      );
      assert.equal(told, gone);
    });
  }

  it('is read-only from the start runs, and opens its spool when the disk is writable', {
    skip: whyNoDisk('ext4'),
  }, async (t) => {
    const disk = makeDisk(t, 'ext4');
    await using site = await Site.create(await createAuthority('Test CA'));
    await site.issueGateway('north', 'acme');
    disk.setReadOnly(true);
    const rig = await SiloRig.start(site.folder, { spool: { directory: join(disk.path, 'silo') } });
    assert.equal(rig.status.state, 'running');
    await rig.pass(65, () => rig.feed(1));
    assert.equal(rig.status.spool?.disk.state, 'failing');
    assert.match(rig.status.spool.disk.reason!, /read-only|EROFS/);
    assert.deepEqual(rig.status.samples.dropped, {});
    disk.setReadOnly(false);
    const isGood = (): boolean => rig.status.spool?.disk.state === 'good';
    for (let round = 0; round < 200 && !isGood(); round += 1) {
      await rig.pass(1);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.ok(isGood());
    assert.equal(rig.status.spool.samples, 65);
    const events = await rig.stop();
    const states = events.flatMap((event) => (event.kind === 'storage-failed' ? event.state : []));
    assert.deepEqual(states, ['began', 'ended']);
  });
});
