import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { eventually, runCommand } from '../support/daemon.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plantBus, plantDevice, startPlantProcess } from '../support/plant.ts';
import { isolations, Site, siloEntry } from '../support/site.ts';

/** `spool.sqlite 600`, of every file and folder below, path first. */
function modesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    return `${relative(folder, path)} ${(statSync(path).mode & 0o777).toString(8)}`;
  });
}

describe('every file written under a umask of 0', () => {
  for (const isolation of isolations) {
    it(`is its owner's alone, on the box and at the backend: ${isolation}`, async (test) => {
      const umask = process.umask(0);
      test.after(() => process.umask(umask));
      const authority = await createAuthority('Test CA');
      await using broker = await Mosquitto.start({ authority });
      await using site = await Site.create(authority);
      const port = await startPlantProcess(site, 1);
      await site.issueGateway('plant', 'acme');
      await site.issueBackend();
      await site.configure(`http: { listen: ./http.sock }
silos:
${siloEntry('plant', broker.url, '', isolation)}    batch: { linger: 50ms }
${plantBus(port)}devices:
${plantDevice('unit-1', 1, 'plant')}`);
      const consumer = site.startConsumer(broker.url, '--evidence', site.path('evidence'));
      const daemon = site.startDaemon();
      await eventually('rows', async () => (await site.rows()).length > 5);
      const state = site.path('state');
      const running = modesBelow(state);
      const socketModes = ['control.sock', 'http.sock'].map((name) => statSync(site.path(name)).mode & 0o777);
      assert.deepEqual(socketModes, [0o660, 0o660]);
      const atTheBackend = modesBelow(site.folder).filter((line) =>
        /^(consume\.state|rows|evidence)/.test(line),
      );
      assert.equal(await daemon.stop(), 0);
      assert.equal(await consumer.stop(), 0, consumer.stderr);
      for (const act of ['verify', 'export', 'rekey', 'shred']) {
        const yes = act === 'shred' ? ['--yes'] : [];
        const { exitCode, stderr } = await runCommand(['spool', act, '--config', site.config, ...yes]);
        assert.equal(exitCode, 0, stderr);
      }
      const seen = [...new Set([...running, ...modesBelow(state)])];
      const names = seen.join('\n');
      for (const part of [
        'spool.sqlite ',
        'spool.sqlite-wal ',
        'spool.witness ',
        'spool.lock ',
        'audit.head ',
      ]) {
        assert.ok(names.includes(part), `${part}is not among\n${names}`);
      }
      assert.match(names, /audit-000001\.ndjson 600/);
      assert.deepEqual(
        seen.filter((line) => !/ (600|700)$/.test(line)),
        [],
      );
      assert.ok(atTheBackend.length >= 6, atTheBackend.join('\n'));
      assert.deepEqual(
        atTheBackend.filter((line) => !/ (600|640|750)$/.test(line)),
        [],
      );
    });
  }
});
