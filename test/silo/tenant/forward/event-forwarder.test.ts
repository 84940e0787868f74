import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../../../src/base/logger.ts';
import { EventForwarder } from '../../../../src/silo/tenant/forward/event-forwarder.ts';
import type { PublishOutcome } from '../../../../src/uplink/uplink.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const ids = ['first', 'second', 'third'];

function payloadOf(id: string): Buffer {
  return Buffer.from(JSON.stringify({ id }));
}

/** A spool with three events, a broker that takes all, and a signer that takes longest for the first. */
function rig(sign: () => Promise<string>, note: (id: string) => void = () => {}) {
  const sent: string[] = [];
  const settled: string[] = [];
  const released: string[] = [];
  const waiting = ids.map((id, number) => ({ id, number, payload: payloadOf(id) }));
  const forwarder = new EventForwarder({
    clock: new FakeClock(0),
    logger: silentLogger,
    spool: {
      leaseEvents: () => waiting.splice(0),
      releaseEvents: (some) => void released.push(...some),
      settleEvents: (some) => void settled.push(...some),
    },
    uplink: {
      ready: true,
      tooLarge: () => {},
      publish: ({ payload }): Promise<PublishOutcome> => {
        sent.push((JSON.parse(Buffer.from(payload).toString()) as { id: string }).id);
        return Promise.resolve({ kind: 'accepted' } as PublishOutcome);
      },
    },
    encoder: { event: (payload) => ({ channel: 'event', payload }) },
    bearer: { signing: () => ({ at: 0, sign }) },
    delivered: ({ id }) => note(id),
  });
  return { forwarder, sent, settled, released };
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('event forwarder', () => {
  it('sends events in order even if a later one is signed sooner', async () => {
    let ahead = 30;
    const { forwarder, sent, settled } = rig(async () => {
      ahead -= 10;
      await turns(ahead);
      return 'signature';
    });
    forwarder.pump();
    await turns(60);
    assert.deepEqual(sent, ids);
    assert.deepEqual(settled, ids);
    forwarder.close();
  });

  it('releases all leases when signing fails', async () => {
    const { forwarder, sent, settled, released } = rig(() => Promise.reject(new Error('no key')));
    forwarder.pump();
    await turns(10);
    assert.deepEqual([sent, settled, released], [[], [], ids]);
    forwarder.close();
  });

  it('deletes noted events, and releases the rest when noting fails', async () => {
    const { forwarder, settled, released } = rig(
      () => Promise.resolve('signature'),
      (id) => {
        if (id === 'second') throw new Error('the audit log takes nothing');
      },
    );
    forwarder.pump();
    await turns(20);
    assert.deepEqual(settled, ['first']);
    assert.deepEqual(released, ['second', 'third']);
    forwarder.close();
  });
});
