import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { chmodSync, chownSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { appendFileSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MerestoneError } from '../../src/base/error.ts';
import { loadKeyWrapper } from '../../src/identity/key-encryption-key.ts';

let folder: string;
let path: string;
const dataKey = randomBytes(32);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'merestone-kek-'));
  path = join(folder, 'key-encryption-key.pem');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const alone = { credentialsDirectory: undefined };

function newKey(namedCurve = 'P-256'): string {
  return generateKeyPairSync('ec', { namedCurve })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

async function refused(act: Promise<unknown>, reason: RegExp): Promise<void> {
  await assert.rejects(act, (error: unknown) => {
    assert.ok(error instanceof MerestoneError, String(error));
    assert.equal(error.code, 'KeyUnavailable');
    assert.match(error.message, reason);
    return true;
  });
}

describe('a key-encryption key in a file', () => {
  it('is made on first use, for its owner alone, and found again', async () => {
    const first = await loadKeyWrapper(folder, alone);
    const wrapped = await first.wrap(dataKey);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder), ['key-encryption-key.pem']);
    const again = await loadKeyWrapper(folder, alone);
    assert.equal(again.keyId, first.keyId);
    assert.deepEqual(Buffer.from(await again.unwrap(wrapped)), dataKey);
  });

  it('is the same key for several that start at once', async () => {
    const wrappers = await Promise.all(
      [1, 2, 3, 4].map(() => loadKeyWrapper(join(folder, 'new', 'deep'), alone)),
    );
    assert.equal(new Set(wrappers.map(({ keyId }) => keyId)).size, 1);
  });

  it('wraps differently each time, and reveals nothing of the data key', async () => {
    const keys = await loadKeyWrapper(folder, alone);
    const [one, two] = await Promise.all([keys.wrap(dataKey), keys.wrap(dataKey)]);
    assert.notEqual(one, two);
    assert.ok(!Buffer.from(one.split('.')[3]!, 'base64url').includes(dataKey));
  });

  it('does not unwrap what was changed or wrapped to another key', async () => {
    const keys = await loadKeyWrapper(folder, alone);
    const wrapped = await keys.wrap(dataKey);
    const other = await (await loadKeyWrapper(join(folder, 'other'), alone)).wrap(dataKey);
    await refused(keys.unwrap(other), /was wrapped to key \S{43}, which is not here/);
    await refused(keys.unwrap('no JWE'), /damaged/);
    for (const part of [1, 3, 4]) {
      const parts = wrapped.split('.');
      const bytes = Buffer.from(parts[part]!, 'base64url');
      bytes[0]! ^= 1;
      parts[part] = bytes.toString('base64url');
      await refused(keys.unwrap(parts.join('.')), /damaged/);
    }
  });

  it('is refused if other users may open it', async () => {
    await loadKeyWrapper(folder, alone);
    for (const mode of [0o640, 0o604, 0o660]) {
      chmodSync(path, mode);
      await refused(loadKeyWrapper(folder, alone), new RegExp(`mode 0${mode.toString(8)}, not 0600`));
    }
  });

  it('is refused if it belongs to another user', {
    skip: process.geteuid!() !== 0 && 'needs root',
  }, async () => {
    await loadKeyWrapper(folder, alone);
    chownSync(path, 65_534, 65_534);
    await refused(loadKeyWrapper(folder, alone), /belongs to another user/);
  });

  it('is refused behind a symbolic link', async () => {
    await loadKeyWrapper(folder, alone);
    renameSync(path, `${path}.real`);
    symlinkSync(`${path}.real`, path);
    await refused(loadKeyWrapper(folder, alone), /not a regular file/);
  });

  for (const [title, text] of Object.entries({
    empty: '',
    garbage: 'garbage',
    damaged: '-----BEGIN PRIVATE KEY-----\ngarbage\n-----END PRIVATE KEY-----\n',
    'of another curve': newKey('P-384'),
  })) {
    it(`is refused ${title}, and not replaced`, async () => {
      writeFileSync(path, text, { mode: 0o600 });
      await refused(loadKeyWrapper(folder, alone), /holds no private key|cannot be read/);
      assert.equal(statSync(path).size, text.length);
    });
  }

  it('is followed by the old key until everything is rewrapped', async () => {
    const old = await loadKeyWrapper(folder, alone);
    const wrapped = await old.wrap(dataKey);
    renameSync(path, `${path}.old`);
    const added = await loadKeyWrapper(folder, alone);
    await refused(added.unwrap(wrapped), /is not here/);
    appendFileSync(path, readFileSync(`${path}.old`));
    const both = await loadKeyWrapper(folder, alone);
    assert.equal(both.keyId, added.keyId);
    assert.deepEqual(Buffer.from(await both.unwrap(wrapped)), dataKey);
  });
});

describe('a key-encryption key in a systemd credential', () => {
  it('precedes the file, which still unwraps what it wrapped', async () => {
    const file = await loadKeyWrapper(folder, alone);
    const wrapped = await file.wrap(dataKey);
    const credentialsDirectory = mkdtempSync(join(folder, 'credentials-'));
    writeFileSync(join(credentialsDirectory, 'merestone-kek'), newKey(), { mode: 0o440 });
    const both = await loadKeyWrapper(folder, { credentialsDirectory });
    assert.notEqual(both.keyId, file.keyId);
    assert.deepEqual(Buffer.from(await both.unwrap(wrapped)), dataKey);
    assert.deepEqual(Buffer.from(await both.unwrap(await both.wrap(dataKey))), dataKey);
  });

  it("leaves no key on the disk, and a silo's own credential precedes the shared one", async () => {
    const credentialsDirectory = mkdtempSync(join(folder, 'credentials-'));
    writeFileSync(join(credentialsDirectory, 'merestone-kek'), newKey());
    writeFileSync(join(credentialsDirectory, 'merestone-kek-north'), newKey());
    const directory = mkdtempSync(join(folder, 'silo-'));
    const north = await loadKeyWrapper(directory, { silo: 'north', credentialsDirectory });
    const south = await loadKeyWrapper(directory, { silo: 'south', credentialsDirectory });
    assert.notEqual(north.keyId, south.keyId);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('is read from CREDENTIALS_DIRECTORY', async () => {
    const credentialsDirectory = mkdtempSync(join(folder, 'credentials-'));
    writeFileSync(join(credentialsDirectory, 'merestone-kek'), newKey());
    const before = process.env['CREDENTIALS_DIRECTORY'];
    process.env['CREDENTIALS_DIRECTORY'] = credentialsDirectory;
    try {
      await loadKeyWrapper(folder);
      assert.throws(() => statSync(path), { code: 'ENOENT' });
    } finally {
      if (before === undefined) delete process.env['CREDENTIALS_DIRECTORY'];
      else process.env['CREDENTIALS_DIRECTORY'] = before;
    }
  });

  it('is refused if it contains no key', async () => {
    const credentialsDirectory = mkdtempSync(join(folder, 'credentials-'));
    writeFileSync(join(credentialsDirectory, 'merestone-kek'), 'garbage');
    await refused(loadKeyWrapper(folder, { credentialsDirectory }), /holds no private key/);
  });
});
