import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { macHolds } from '../../src/identity/pkcs12-mac.ts';

describe('the iterations of a PKCS#12 file’s integrity check', () => {
  it('are limited against a hostile file', () => {
    for (const iterations of [10_000_001, 2 ** 31, 2 ** 53, Infinity, 0, -1, NaN]) {
      const mac = {
        digestOid: '2.16.840.1.101.3.4.2.1',
        digest: Buffer.alloc(32),
        salt: Buffer.alloc(8),
        iterations,
      };
      const begunAt = process.cpuUsage().user;
      assert.equal(macHolds(mac, Buffer.alloc(10), 'secret'), false);
      assert.ok(process.cpuUsage().user - begunAt < 1_000_000, 'no round was made');
    }
  });
});
