import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import Database from 'better-sqlite3';
import type { StreamEvent } from '../../../src/messages/event.ts';
import { directoryInMemory, openTestSpool, testSample } from '../../support/spool.ts';
import { drain } from '../../support/spool-damage.ts';

describe('samples that cannot be dated yet', () => {
  it('wait over a restart, and become batches in the order they came', async (t) => {
    const directory = directoryInMemory(t);
    const first = await openTestSpool(directory);
    for (const chunk of ['one', 'two', 'three']) first.hold(Buffer.from(chunk));
    first.enqueue([testSample(1)]);
    first.close();
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    const asked: string[] = [];
    const batches = spool.release((payload) => {
      asked.push(payload.toString());
      return payload.toString() === 'two' ? [] : [testSample(asked.length)];
    });
    assert.deepEqual(asked, ['one', 'two', 'three']);
    assert.equal(batches, 2);
    assert.equal(
      spool.release(() => [testSample(1)]),
      0,
    );
    assert.equal(drain(spool).delivered.size, 3);
  });

  it('are let go only with the commit that stores them', async (t) => {
    const spool = await openTestSpool(directoryInMemory(t));
    t.after(() => spool.close());
    spool.hold(Buffer.from('one'));
    assert.throws(
      () =>
        spool.release(() => {
          throw new Error('no clock');
        }),
      /no clock/,
    );
    assert.equal(
      spool.release(() => [testSample(1)]),
      1,
    );
  });

  it('make room as batches do, or are refused under drop-newest', async (t) => {
    const oldest = await openTestSpool(directoryInMemory(t), { bytesMax: 1_000_000 });
    t.after(() => oldest.close());
    for (let ts = 1; ts <= 40; ts += 1) oldest.enqueue([testSample(ts, 9000)]);
    const { dropped } = oldest.status();
    for (let ts = 1; ts <= 10; ts += 1) oldest.hold(Buffer.alloc(20_000, ts));
    assert.ok(oldest.status().dropped > dropped + 10);
    const newest = await openTestSpool(directoryInMemory(t), {
      bytesMax: 1_000_000,
      whenFull: 'drop-newest',
    });
    t.after(() => newest.close());
    assert.throws(
      () => {
        for (let ts = 1; ts <= 40; ts += 1) newest.hold(Buffer.alloc(20_000, ts));
      },
      { code: 'SpoolFull', retryable: true },
    );
  });

  it('are told as lost at an unknown time, not in 1970, where one is damaged', async (t) => {
    const directory = directoryInMemory(t);
    const first = await openTestSpool(directory);
    first.hold(Buffer.from('one'));
    first.close();
    alter(
      directory,
      'UPDATE entry SET sealed = zeroblob(length(sealed)) WHERE number = (SELECT max(number) FROM entry)',
    );
    const spool = await openTestSpool(directory);
    t.after(() => spool.close());
    spool.release(() => [testSample(1)]);
    assertLostAtUnknownTime(drain(spool).events);
  });
});

function alter(directory: string, statement: string): void {
  const file = new Database(join(directory, 'spool.sqlite'));
  file.exec(statement);
  file.close();
}

function assertLostAtUnknownTime(events: readonly StreamEvent[]): void {
  const losses = events.flatMap((event) => (event.kind === 'samples-dropped' ? [event] : []));
  assert.equal(losses.length, 1);
  assert.deepEqual([losses[0]!.from, losses[0]!.to], [null, null]);
}
