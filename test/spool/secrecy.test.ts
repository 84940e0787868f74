import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { chmodSync, cpSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fastestCipher, seal, unseal } from '../../src/base/cipher.ts';
import { openTestSpool, testKeys } from '../support/spool.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** Everything that a thief of the files must not read, in samples, events and undated samples. */
const secrets = ['boiler-room', 'flow_temperature', '73.1251', 'waterworks', 'overpressure'];

function contents(directory: string): { name: string; text: string }[] {
  return readdirSync(directory).map((name) => ({
    name,
    text: readFileSync(join(directory, name), 'latin1'),
  }));
}

describe('the files of a spool', () => {
  it('have no value, point or device name in clear, open or closed', async (t) => {
    const directory = temporaryDirectory(t);
    const spool = await openTestSpool(join(directory, 'spool'));
    for (let ts = 1; ts <= 50; ts += 1) {
      const sample = { device: 'boiler-room', ts, values: { flow_temperature: 73.1251, overpressure: ts } };
      spool.enqueue([{ json: JSON.stringify(sample), ts }]);
    }
    spool.note({ kind: 'audit', entry: { who: 'waterworks' } });
    spool.hold(Buffer.from('[{"device":"boiler-room"}]'));
    spool.settle({ rejected: spool.lease(3, 'fifo').map(({ key }) => ({ ...key, reason: 'overpressure' })) });
    cpSync(join(directory, 'spool'), join(directory, 'open'), { recursive: true });
    spool.close();
    for (const state of ['open', 'spool']) {
      for (const { name, text } of contents(join(directory, state))) {
        for (const secret of secrets) assert.ok(!text.includes(secret), `${secret} in ${name}, ${state}`);
      }
    }
  });

  it('are readable by their owner alone, and become so where they were not', async (t) => {
    const directory = temporaryDirectory(t);
    const umask = process.umask(0);
    t.after(() => process.umask(umask));
    const modes = (): string[] =>
      readdirSync(directory).map(
        (name) => `${name} ${(statSync(join(directory, name)).mode & 0o777).toString(8)}`,
      );
    const first = await openTestSpool(directory);
    first.enqueue([{ json: '{}', ts: 1 }]);
    const wanted = ['lock', 'reserve', 'sqlite', 'sqlite-wal', 'witness'].map((end) => `spool.${end} 600`);
    assert.deepEqual(modes().sort(), wanted);
    first.close();
    for (const name of readdirSync(directory)) chmodSync(join(directory, name), 0o644);
    const again = await openTestSpool(directory);
    again.enqueue([{ json: '{}', ts: 2 }]);
    assert.deepEqual(modes().sort(), wanted);
    again.close();
  });

  it('keep no wrapped data key once nothing is sealed with it, nor one that rekey replaced', async (t) => {
    const directory = temporaryDirectory(t);
    const wrappings: string[] = [];
    const keys = testKeys('acme');
    const listening = {
      ...keys,
      wrap: async (dataKey: Uint8Array) => {
        wrappings.push(await keys.wrap(dataKey));
        return wrappings.at(-1)!;
      },
    };
    const spool = await openTestSpool(directory, {}, { keys: listening });
    spool.enqueue([{ json: '{}', ts: 1 }]);
    await spool.rotateKey();
    spool.settle({ acked: spool.lease(1, 'fifo').map(({ key }) => key) });
    spool.settleEvents(spool.leaseEvents(9).map(({ id }) => id));
    await spool.rotateKey();
    await spool.rekey(listening);
    for (const { name, text } of contents(directory)) {
      for (const old of wrappings.slice(0, -1))
        assert.ok(!text.includes(old), `an old wrapping in ${name}, open`);
    }
    spool.enqueue([{ json: '{}', ts: 2 }]);
    cpSync(directory, `${directory}-killed`, { recursive: true });
    t.after(() => rmSync(`${directory}-killed`, { recursive: true }));
    const killed = await openTestSpool(`${directory}-killed`);
    assert.equal(killed.status().batches, 1, 'what was stored after the WAL was overwritten');
    killed.close();
    spool.close();
    const last = wrappings.at(-1)!;
    assert.equal(wrappings.length, 4);
    for (const { name, text } of contents(directory)) {
      for (const old of wrappings.slice(0, -1)) assert.ok(!text.includes(old), `an old wrapping in ${name}`);
      if (name === 'spool.sqlite') assert.equal(text.split(last).length - 1, 2, 'the last one, twice');
    }
  });
});

describe('a seal', () => {
  const key = createSecretKey(randomBytes(32));
  const plaintext = Buffer.from('two words');
  const bound = Buffer.from('acme');
  for (const cipher of ['aes-256-gcm', 'chacha20-poly1305'] as const) {
    it(`opens whole, and with no bit changed anywhere (${cipher})`, () => {
      const sealed = seal(key, cipher, plaintext, bound);
      assert.deepEqual(unseal(key, sealed, bound), plaintext);
      assert.equal(unseal(key, sealed, Buffer.from('acne')), undefined);
      assert.equal(unseal(createSecretKey(randomBytes(32)), sealed, bound), undefined);
      for (let bit = 0; bit < sealed.length * 8; bit += 1) {
        const changed = Buffer.from(sealed);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        assert.equal(unseal(key, changed, bound), undefined, `bit ${bit}`);
      }
      for (let length = 0; length < sealed.length; length += 1) {
        assert.equal(unseal(key, sealed.subarray(0, length), bound), undefined, `${length} bytes`);
      }
    });
  }

  it('is by AES where the CPU has it, else by ChaCha20', () => {
    assert.equal(fastestCipher('flags\t\t: fpu sse4_2 aes avx'), 'aes-256-gcm');
    assert.equal(fastestCipher('Features\t: fp asimd evtstrm aes pmull sha1'), 'aes-256-gcm');
    assert.equal(fastestCipher('Features\t: fp asimd evtstrm crc32 cpuid'), 'chacha20-poly1305');
    assert.equal(fastestCipher(''), 'chacha20-poly1305');
  });
});
