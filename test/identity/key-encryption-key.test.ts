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

  it('is one, whoever starts first', async () => {
    const wrappers = await Promise.all(
      [1, 2, 3, 4].map(() => loadKeyWrapper(join(folder, 'new', 'deep'), alone)),
    );
    assert.equal(new Set(wrappers.map(({ keyId }) => keyId)).size, 1);
  });

  it('wraps anew each time, and says nothing of the data key', async () => {
    const keys = await loadKeyWrapper(folder, alone);
    const [one, two] = await Promise.all([keys.wrap(dataKey), keys.wrap(dataKey)]);
    assert.notEqual(one, two);
    assert.ok(!Buffer.from(one.split('.')[3]!, 'base64url').includes(dataKey));
  });

  it('opens nothing that was changed or is not for it', async () => {
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

  it('is refused where others may open it', async () => {
    await loadKeyWrapper(folder, alone);
    for (const mode of [0o640, 0o604, 0o660]) {
      chmodSync(path, mode);
      await refused(loadKeyWrapper(folder, alone), new RegExp(`mode 0${mode.toString(8)}, not 0600`));
    }
  });

  it('is refused where it belongs to another user', {
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
    it(`is refused ${title}, and not made anew`, async () => {
      writeFileSync(path, text, { mode: 0o600 });
      await refused(loadKeyWrapper(folder, alone), /holds no private key|cannot be read/);
      assert.equal(statSync(path).size, text.length);
    });
  }

  it('is followed by the old one while what that wrapped is being moved', async () => {
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
  it('goes before the file, which still opens what it wrapped', async () => {
    const file = await loadKeyWrapper(folder, alone);
    const wrapped = await file.wrap(dataKey);
    const credentialsDirectory = mkdtempSync(join(folder, 'credentials-'));
    writeFileSync(join(credentialsDirectory, 'merestone-kek'), newKey(), { mode: 0o440 });
    const held = await loadKeyWrapper(folder, { credentialsDirectory });
    assert.notEqual(held.keyId, file.keyId);
    assert.deepEqual(Buffer.from(await held.unwrap(wrapped)), dataKey);
    assert.deepEqual(Buffer.from(await held.unwrap(await held.wrap(dataKey))), dataKey);
  });

  it("leaves no key on the disk, and a silo's own goes before the common one", async () => {
    const credentialsDirectory = mkdtempSync(join(folder, 'credentials-'));
    writeFileSync(join(credentialsDirectory, 'merestone-kek'), newKey());
    writeFileSync(join(credentialsDirectory, 'merestone-kek-north'), newKey());
    const directory = mkdtempSync(join(folder, 'silo-'));
    const north = await loadKeyWrapper(directory, { silo: 'north', credentialsDirectory });
    const south = await loadKeyWrapper(directory, { silo: 'south', credentialsDirectory });
    assert.notEqual(north.keyId, south.keyId);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('is looked for where systemd says', async () => {
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

  it('is refused where it holds no key', async () => {
    const credentialsDirectory = mkdtempSync(join(folder, 'credentials-'));
    writeFileSync(join(credentialsDirectory, 'merestone-kek'), 'garbage');
    await refused(loadKeyWrapper(folder, { credentialsDirectory }), /holds no private key/);
  });
});
