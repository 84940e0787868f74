import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ProvenSession } from '../../src/uplink/proven-session.ts';
import { packetTooLarge } from '../../src/uplink/reason-code.ts';
import type { Message, Session } from '../../src/uplink/session.ts';
import { SizeLimit } from '../../src/uplink/size-limit.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { origin } from './rig.ts';

/** A session on MQTT 5 with a broker that refuses payloads above `bytesMax`, and the limits that it reports. */
function sessionWith(bytesMax: number): { session: ProvenSession; sizes: SizeLimit; told: number[] } {
  const sizes = new SizeLimit();
  const told: number[] = [];
  const publish = ({ payload }: Message): Promise<unknown> => {
    const reasonCode = payload.length > bytesMax ? packetTooLarge : 0;
    return Promise.resolve({ kind: 'answered', reasonCode, roundTripMs: 1 });
  };
  const parties = { target: { name: 'broker' }, protocol: '5', clientId: origin.gateway };
  const session = new ProvenSession({ publish } as unknown as Session, {
    origin,
    parties: parties as unknown as ConstructorParameters<typeof ProvenSession>[1]['parties'],
    clock: new FakeClock(0),
    sizes,
    onSizeLimit: () => void told.push(sizes.bytesMax),
  });
  return { session, sizes, told };
}

async function deliver(session: ProvenSession, bytes: number): Promise<string> {
  const message = { topic: 't/acme/acme_gw-0001/telemetry', payload: Buffer.alloc(bytes), retain: false };
  return (await session.deliver(message, 'now')).kind;
}

describe('a session whose broker has a limit of size', () => {
  it('reports a lower limit also if new batches may stay as large as they are', async () => {
    const { session, sizes, told } = sessionWith(5000);
    assert.equal(await deliver(session, 4500), 'answered');
    assert.equal(await deliver(session, 8000), 'too-large');
    const { batchBytesMax } = sizes;
    assert.equal(await deliver(session, 6000), 'too-large');
    assert.equal(sizes.batchBytesMax, batchBytesMax);
    assert.ok(told.at(-1)! < 6100, `it told of ${told.at(-1)}`);
  });

  it('has always reported the limit that it uses', async () => {
    const bytes = fc.integer({ min: 1, max: 10_000 });
    await fc.assert(
      fc.asyncProperty(bytes, fc.array(bytes, { maxLength: 20 }), async (bytesMax, sequence) => {
        const { session, sizes, told } = sessionWith(bytesMax);
        for (const each of sequence) {
          await deliver(session, each);
          assert.equal(told.at(-1), sizes.bytesMax);
        }
      }),
    );
  });
});
