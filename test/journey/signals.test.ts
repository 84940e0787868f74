import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { eventually } from '../support/daemon.ts';
import { Site, siloEntry } from '../support/site.ts';

describe('a daemon that stops', () => {
  for (const change of ['', '# another line\n', 'devices: [nonsense]\n']) {
    const file = change === '' ? 'the same' : change.trim();
    it(`ends without starting anything again, even on SIGHUP meanwhile (${file})`, async () => {
      await using site = await Site.create(await createAuthority('Test CA'));
      await site.issueGateway('north', 'acme');
      await site.configure(`silos:\n${siloEntry('north', 'mqtts://127.0.0.1:1')}`);
      const daemon = site.startDaemon();
      await eventually('the silo runs', () => daemon.log.some(({ event }) => event === 'silo runs'));
      await appendFile(site.config, change);
      const stopped = daemon.stop('SIGTERM');
      daemon.signal('SIGHUP');
      assert.equal(await stopped, 0);
      const events = daemon.log.map(({ event }) => event);
      assert.equal(events.at(-1), 'gateway stopped');
      assert.equal(events.filter((event) => event === 'silo runs').length, 1);
    });
  }
});
