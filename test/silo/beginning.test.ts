import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { createAuthority } from '../../src/simulator/certificates.ts';
import { SiloRig } from '../support/silo-rig.ts';
import { Site } from '../support/site.ts';

describe('a silo that was refused', () => {
  it('begins once its certificate is there, however many look at it at once', async () => {
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

  it('ends as it is told while it begins, and leaves its spool to the next one', async () => {
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
