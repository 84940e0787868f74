import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SharedBackend } from '../support/shared-backend.ts';

describe('a running consumer that one tenant sends nonsense to', () => {
  it('brings every row of the other, ends of nothing, and takes no more memory', async () => {
    await using shared = await SharedBackend.start(1, 1_000_000);
    const before = await shared.measure(1000, 10, 0);
    const during = await shared.measure(20_000, 20, 5, 1500);
    assert.deepEqual([before.lost, during.lost], [0, 0], JSON.stringify({ before, during }));
    assert.equal(shared.exitCode, undefined, 'it runs');
    assert.ok(shared.sentHostile >= 500, String(shared.sentHostile));
    assert.ok(shared.residentMax < 500e6, `${shared.residentMax} bytes`);
    // All that is retained comes again, and what waits aside is taken.
    await shared.restart();
    const after = await shared.measure(1000, 10, 0);
    assert.equal(after.lost, 0);
    const security = shared.notices.filter(
      ({ tenant, severity }) => tenant === 'beta' && severity === 'security',
    );
    assert.deepEqual(security, [], 'nothing is said of who did nothing');
    assert.ok(shared.notices.some(({ kind }) => kind === 'telemetry-refused'));
  });
});
