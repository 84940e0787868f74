import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '../../../src/base/logger.ts';
import { loadKeyWrapper } from '../../../src/identity/key-encryption-key.ts';
import { OfflineSpool } from '../../../src/spool/offline/offline-spool.ts';
import type { SpoolVerificationResult } from '../../../src/spool/offline/spool-verification.ts';
import { createAuthority } from '../../../src/simulator/certificate-authority.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { SiloRig } from '../../support/silo-rig.ts';
import { Site } from '../../support/site.ts';

const secrets = ['main-meter', 'flow_temperature', 'boiler-room', 'model 0x0070'];
const keyFile = 'key-encryption-key.pem';

async function newSite(t: TestContext): Promise<{ folder: string; spool: string; keys: string }> {
  const site = await Site.create(await createAuthority('Test CA'));
  t.after(() => site[Symbol.asyncDispose]());
  await site.issueGateway('north', 'acme');
  const { folder } = site;
  return {
    folder,
    spool: join(folder, 'silo/acme/acme_gw-0001'),
    keys: join(folder, 'keys/acme/acme_gw-0001'),
  };
}

async function open(directory: string, keys: string): Promise<SpoolVerificationResult> {
  const wrapper = await loadKeyWrapper(keys, { credentialsDirectory: undefined, mayMake: false });
  const deps = { keys: wrapper, clock: new FakeClock(), logger: silentLogger };
  using spool = await OfflineSpool.open({ directory, bytesMax: 4_000_000 }, deps);
  return spool.verify();
}

function copyOf(from: string, to: string): string {
  cpSync(from, to, { recursive: true });
  return to;
}

describe("a copy of a spool's folder", () => {
  it('can be opened neither while in use nor afterwards, and shows no name', async (t) => {
    const { folder, spool, keys } = await newSite(t);
    const rig = await SiloRig.start(folder);
    await rig.pass(5, () => rig.feed(3, { flow_temperature: 73.125 }));
    const changes = ['devices.boiler-room.every', 'devices.main-meter.points.flow_temperature'];
    const changed = { configSha256: 'ab', previousConfigSha256: null, changes, by: 'root' };
    await rig.silo.handle({ type: 'record', act: { kind: 'configuration', details: changed } });
    const said = {
      device: 'main-meter',
      profile: null,
      state: 'contradicted',
      says: 'model 0x0070',
    } as const;
    await rig.silo.handle({ type: 'record', act: { kind: 'device-identity', details: said } });
    const copies = [copyOf(spool, join(folder, 'open'))];
    assert.equal(rig.status.spool?.key, 'same-disk');
    await rig.silo.handle({ type: 'stop' });
    const opened = (await rig.auditWithNames()).filter((entry) => 'sealed' in entry);
    assert.partialDeepStrictEqual(opened, [changed, said]);
    copies.push(copyOf(spool, join(folder, 'closed')));
    for (const copy of copies) {
      await assert.rejects(open(copy, copy), { code: 'KeyUnavailable' });
      for (const entry of readdirSync(copy, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const text = readFileSync(join(entry.parentPath, entry.name), 'latin1');
        for (const secret of [...secrets, 'PRIVATE KEY']) {
          assert.ok(!text.includes(secret), `${secret} in ${entry.name}`);
        }
      }
      const { good, batches } = await open(copy, keys);
      assert.ok(good && batches > 0, 'with the key it opens: a copy of the whole disk has both');
    }
  });

  it('from before its key was moved opens no later batch', async (t) => {
    const { folder, spool, keys } = await newSite(t);
    const first = await SiloRig.start(folder);
    await first.pass(3, () => first.feed(2));
    await first.silo.handle({ type: 'stop' });
    const before = await open(spool, keys);
    // As versions before 0.1.0 left it.
    renameSync(join(keys, keyFile), join(spool, keyFile));
    const backup = copyOf(spool, join(folder, 'backup'));
    assert.equal((await open(backup, backup)).batches, before.batches);

    const second = await SiloRig.start(folder, {}, { wallMs: first.clock.wallMs() });
    await second.pass(3, () => second.feed(2));
    await second.silo.handle({ type: 'stop' });
    assert.ok(!existsSync(join(spool, keyFile)));
    const after = await open(spool, keys);
    assert.ok(after.good && after.batches > before.batches, 'nothing was lost by the move');
    assert.equal(after.head.epoch, before.head.epoch);
    const copy = copyOf(spool, join(folder, 'copy'));
    mkdirSync(join(folder, 'stolen'));
    cpSync(join(backup, keyFile), join(folder, 'stolen', keyFile));
    await assert.rejects(open(copy, join(folder, 'stolen')), { code: 'KeyUnavailable' });
  });
});
