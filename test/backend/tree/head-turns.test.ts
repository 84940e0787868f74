import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { EvidenceLog } from '../../../src/backend/evidence.ts';
import { HeadSigner } from '../../../src/backend/tree/head-signer.ts';
import { FakeClock } from '../../support/fake-clock.ts';

it('a head is signed of each gateway in its turn, however many grow all the time', () => {
  const folder = mkdtempSync(join(tmpdir(), 'head-turns-'));
  try {
    const clock = new FakeClock(Date.now());
    const { privateKey } = generateKeyPairSync('ed25519');
    // Due with each tick: more than are signed in one.
    const signer = new HeadSigner({ log: 'merestone', key: privateKey, file: undefined, everyMs: 1000 });
    const log = new EvidenceLog(folder, clock, signer);
    const note = { finding: { severity: 'info', kind: 'test' } };
    const crowd = Array.from({ length: 120 }, (_, n) => ({ tenant: 'acme', gateway: `gw-${n}` }));
    const quiet = { tenant: 'beta', gateway: 'gw-0' };
    for (const origin of [...crowd, quiet]) log.append(origin, note);
    const isSigned = (): boolean => existsSync(join(folder, quiet.tenant, quiet.gateway, 'heads'));
    for (let tick = 0; tick < 3; tick++) {
      assert.equal(isSigned(), false);
      for (const origin of crowd) log.append(origin, note);
      clock.advance(1000);
      log.tick();
    }
    assert.equal(isSigned(), true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
