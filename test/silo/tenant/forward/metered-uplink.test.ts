import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gated, metered, type Sender } from '../../../../src/silo/tenant/forward/metered-uplink.ts';
import type { UplinkOptions } from '../../../../src/uplink/options.ts';
import type { PublishOutcome } from '../../../../src/uplink/uplink.ts';
import { acme } from '../../../support/spool.ts';

const options = { protocol: '5' } as UplinkOptions;
const request = { channel: 'event' as const, payload: Buffer.alloc(1000), contentType: 'application/json' };

describe('a metered uplink', () => {
  it('counts a packet before it is sent, and uncounts one that was too large', async () => {
    const counted: number[] = [];
    let outcome: PublishOutcome = { kind: 'accepted' };
    let countedBefore = -1;
    const publish = async (): Promise<PublishOutcome> => {
      countedBefore = counted.length;
      return outcome;
    };
    const uplink = metered({ publish, tooLarge: () => {}, ready: true }, options, acme, (bytes) =>
      counted.push(bytes),
    );
    assert.deepEqual(await uplink.publish(request), outcome);
    assert.equal(countedBefore, 1);
    assert.ok(counted[0]! > 1000 && counted[0]! < 1100, `${counted[0]} bytes`);
    outcome = { kind: 'too-large', bytesMax: 10 };
    await uplink.publish(request);
    assert.deepEqual(counted, [counted[0], counted[0], -counted[0]!]);
  });

  it('is ready when the uplink is', () => {
    const inner = { ready: true };
    const uplink = metered(inner as Sender, options, acme, () => {});
    assert.equal(uplink.ready, true);
    inner.ready = false;
    assert.equal(uplink.ready, false);
  });
});

describe('a gated uplink', () => {
  it('is ready when the uplink is and isOpen returns true, and publishes as the uplink does', async () => {
    const inner = { ready: true, publish: async () => ({ kind: 'accepted' }) };
    let isOpen = true;
    const uplink = gated(inner as unknown as Sender, () => isOpen);
    assert.equal(uplink.ready, true);
    isOpen = false;
    assert.equal(uplink.ready, false);
    [isOpen, inner.ready] = [true, false];
    assert.equal(uplink.ready, false);
    assert.deepEqual(await uplink.publish(request), { kind: 'accepted' });
  });
});
