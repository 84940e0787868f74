import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import type { Row } from '../../src/backend/row.ts';
import { openFileSink } from '../../src/backend/row-sink.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { asideLimits } from '../support/parked-limits.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

it('rows say what a device said, and do nothing to a terminal that shows them', async (t) => {
  const folder = temporaryDirectory(t);
  const store = new StateStore(':memory:', asideLimits);
  const path = join(folder, 'rows.ndjson');
  const sink = await openFileSink(path, store);
  // A control sequence in C1, a change of direction, a separator of lines.
  const value = 'a\u009b2J\u0090\u202e\u2028\u001b[2J';
  const row: Row = {
    tenant: 'acme',
    gateway: 'acme_gw-0001',
    device: value,
    point: value,
    value,
    unit: value,
    quality: 'good',
    time: '2025-11-22T20:08:43.456Z',
    ts: 1,
    epoch: 'e',
    seq: 1,
  };
  await sink.write([row, row]);
  await sink.close();
  store.close();
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  for (const line of lines) assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\u2028\u2029]/u);
  assert.deepEqual(
    lines.map((line) => JSON.parse(line) as Row),
    [row, row],
  );
});
