import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { createAuthority } from '../../../src/simulator/certificate-authority.ts';
import type { TelemetryBatch } from '../../../src/messages/telemetry.ts';
import { SiloRig } from '../../support/silo-rig.ts';
import { Site } from '../../support/site.ts';

describe('a silo that was refused', () => {
  it('begins once when its certificate appears, even with several checks at once', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await site.issueGateway('north', 'acme');
    await rename(site.path('north.crt'), site.path('away.crt'));
    const rig = await SiloRig.start(site.folder);
    assert.equal(rig.status.state, 'refused');
    await rename(site.path('away.crt'), site.path('north.crt'));
    const asked = [1, 2, 3].map((id) => rig.silo.handle({ type: 'request', id, method: 'reload' }));
    await Promise.all(asked);
    await rig.pass(30);
    assert.equal(rig.status.state, 'running');
    const states = rig.posted.flatMap((message) => (message.type === 'status' ? [message.status.state] : []));
    const after = new Set(states.slice(states.indexOf('running')));
    assert.deepEqual([...after], ['running']);
    await rig.silo.handle({ type: 'stop' });
    assert.equal(rig.status.state, 'stopped');
  });

  it('stops when told to while it begins, and leaves its spool to the next one', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await site.issueGateway('north', 'acme');
    await rename(site.path('north.crt'), site.path('away.crt'));
    const rig = await SiloRig.start(site.folder);
    await rename(site.path('away.crt'), site.path('north.crt'));
    const begins = rig.silo.handle({ type: 'request', id: 1, method: 'reload' });
    await Promise.all([begins, rig.silo.handle({ type: 'stop' })]);
    assert.equal(rig.status.state, 'stopped');
    const next = await SiloRig.start(site.folder);
    assert.equal(next.status.state, 'running');
    await next.silo.handle({ type: 'stop' });
  });
});

describe('a silo whose certificate is not valid yet', () => {
  it('waits, logs it once, and begins without loss when the clock is right', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await site.issueGateway('north', 'acme');
    const rig = await SiloRig.start(
      site.folder,
      {},
      {
        wallMs: Date.now() - 2 * 86_400_000,
      },
    );
    // The gateway keeps samples for a silo that starts, and drops those of one that is refused.
    assert.equal(rig.status.state, 'starting');
    assert.match(rig.status.reason!, /is not valid before .*check that the clock is right/);
    await rig.pass(40);
    assert.equal(rig.status.state, 'starting');
    assert.equal(rig.posted.filter((each) => each.type === 'log' && each.level === 'error').length, 1);
    rig.clock.setWall(Date.now() + 3_600_000);
    const isRunning = (): boolean => rig.status.state === 'running';
    for (let round = 0; round < 100 && !isRunning(); round += 1) {
      await rig.pass(1);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.ok(isRunning());
    await rig.feed(5);
    assert.deepEqual(rig.status.samples.dropped, {});
    await rig.silo.handle({ type: 'stop' });
  });
});

describe('a silo that starts again after its clock was ahead', () => {
  it('dates samples correctly within two minutes, although nothing confirms the clock', async () => {
    await using site = await Site.create(await createAuthority('Test CA'));
    await site.issueGateway('north', 'acme');
    const wallMs = Date.now() + 3_600_000;
    const isolated = { synchronized: false };
    const ahead = await SiloRig.start(site.folder, {}, { ...isolated, wallMs: wallMs + 5 * 86_400_000 });
    await ahead.pass(20, () => ahead.feed(1));
    assert.equal((await ahead.stopAndDrain()).delivered.size > 0, true);
    const rig = await SiloRig.start(site.folder, {}, { ...isolated, wallMs });
    await rig.pass(120, () => rig.feed(1));
    assert.ok(rig.status.samples.stored >= 110, `${rig.status.samples.stored} stored`);
    const { delivered } = await rig.stopAndDrain();
    const samples = [...delivered.values()].flatMap(
      (payload) => (JSON.parse(payload.toString()) as TelemetryBatch).samples,
    );
    const times = samples.map(({ ts }) => ts);
    assert.deepEqual(
      times,
      Array.from({ length: 120 }, (_, second) => wallMs + second * 1000),
    );
    assert.ok(samples.every(({ clock }) => clock === 'estimated'));
  });
});
