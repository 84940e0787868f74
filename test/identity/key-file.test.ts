import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type KeyWrapper, loadKeyWrapper } from '../../src/identity/key-encryption-key.ts';
import { keyFileIn, moveKeyFile } from '../../src/identity/key-file.ts';
import { meaningOfKeyPlace } from '../../src/base/key-place.ts';
import { spoolKeyPlace } from '../../src/identity/key-place.ts';

const alone = { credentialsDirectory: undefined };
const dataKey = Buffer.alloc(32, 7);

let folder: string;
let spool: string;
let keys: string;
let old: KeyWrapper;
let wrapped: string;

/** A spool whose key lies in its own folder. */
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'merestone-key-file-'));
  [spool, keys] = [join(folder, 'spool'), join(folder, 'keys/north/acme/gw')];
  old = await loadKeyWrapper(spool, alone);
  wrapped = await old.wrap(dataKey);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Everything that the old key wrapped opens, and its file is gone. */
async function assertMoved(): Promise<KeyWrapper> {
  assert.deepEqual(readdirSync(spool), []);
  assert.deepEqual(readdirSync(keys), ['key-encryption-key.pem']);
  assert.equal(statSync(keyFileIn(keys)).mode & 0o777, 0o600);
  assert.equal(statSync(join(folder, 'keys')).mode & 0o777, 0o700);
  const now = await loadKeyWrapper(keys, { ...alone, former: spool, mayMake: false });
  assert.deepEqual(Buffer.from(await now.unwrap(wrapped)), dataKey);
  return now;
}

describe('a key file in the folder of its spool', () => {
  it('is moved out of it with a new key before the old one, and the old file is overwritten', async () => {
    linkSync(keyFileIn(spool), join(folder, 'inode'));
    moveKeyFile(spool, keys, true);
    const now = await assertMoved();
    assert.notEqual(now.keyId, old.keyId);
    assert.match(readFileSync(join(folder, 'inode'), 'latin1'), /^\0+$/);
    moveKeyFile(spool, keys, true);
    assert.equal((await assertMoved()).keyId, now.keyId, 'once');
  });

  it('is moved unchanged if a credential wraps', async () => {
    moveKeyFile(spool, keys, false);
    assert.equal((await assertMoved()).keyId, old.keyId);
  });

  it('is read in its old place until the daemon moves it', async () => {
    const reading = await loadKeyWrapper(keys, { ...alone, former: spool, mayMake: false });
    assert.equal(reading.keyId, old.keyId);
    assert.ok(existsSync(keyFileIn(spool)) && !existsSync(keys));
  });

  const crashes: Record<string, () => void> = {
    'before the new file has its name': () => {
      mkdirSync(keys, { recursive: true, mode: 0o700 });
    },
    'when the new file is there': () => {
      const pem = readFileSync(keyFileIn(spool));
      moveKeyFile(spool, keys, true);
      writeFileSync(keyFileIn(spool), pem, { mode: 0o600 });
    },
    'when the old one was named as moved': () => {
      const pem = readFileSync(keyFileIn(spool));
      moveKeyFile(spool, keys, true);
      writeFileSync(`${keyFileIn(spool)}.moved`, pem, { mode: 0o600 });
    },
    'when the old one was half overwritten': () => {
      const pem = readFileSync(keyFileIn(spool)).fill(0, 0, 100);
      moveKeyFile(spool, keys, true);
      writeFileSync(`${keyFileIn(spool)}.moved`, pem, { mode: 0o600 });
    },
  };
  for (const [when, crash] of Object.entries(crashes)) {
    it(`loses nothing in a crash ${when}`, async () => {
      crash();
      moveKeyFile(spool, keys, true);
      await assertMoved();
    });
  }

  it('is merged with the keys that are already in the new place', async () => {
    const there = await loadKeyWrapper(keys, alone);
    const theirs = await there.wrap(dataKey);
    moveKeyFile(spool, keys, true);
    const now = await assertMoved();
    assert.equal(now.keyId, there.keyId);
    assert.deepEqual(Buffer.from(await now.unwrap(theirs)), dataKey);
  });

  it('is not moved if others may open it, or if it is no key', () => {
    chmodSync(keyFileIn(spool), 0o644);
    assert.throws(() => moveKeyFile(spool, keys, true), { code: 'KeyUnavailable' });
    chmodSync(keyFileIn(spool), 0o600);
    appendFileSync(keyFileIn(spool), '-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n');
    assert.throws(() => moveKeyFile(spool, keys, true), { code: 'KeyUnavailable' });
    assert.ok(existsSync(keyFileIn(spool)) && !existsSync(keys));
  });

  it('is not moved if the new place is the same folder', () => {
    moveKeyFile(spool, spool, true);
    assert.ok(existsSync(keyFileIn(spool)));
  });
});

describe('the place of a key', () => {
  it('is named by what a copy of it would contain', () => {
    const folders = { spool, keys };
    assert.equal(spoolKeyPlace(folders, alone), 'spool-folder');
    moveKeyFile(spool, keys, true);
    assert.equal(spoolKeyPlace(folders, alone), 'same-disk');
    assert.equal(spoolKeyPlace({ spool, keys: '/proc/none' }, alone), 'other-disk');
    const credentialsDirectory = join(folder, 'credentials');
    mkdirSync(credentialsDirectory);
    writeFileSync(join(credentialsDirectory, 'merestone-kek'), '');
    assert.equal(spoolKeyPlace(folders, { credentialsDirectory }), 'credential');
    assert.match(meaningOfKeyPlace('spool-folder')!, /a copy of that folder opens it; start the daemon/);
    assert.match(meaningOfKeyPlace('same-disk')!, /a copy of the whole disk opens it; .*spool\.keyDir/);
    assert.equal(meaningOfKeyPlace('credential'), undefined);
    assert.equal(meaningOfKeyPlace('other-disk'), undefined);
  });
});
