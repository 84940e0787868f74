import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RetainedFetch } from '../../src/backend/retained-fetch.ts';

/** A broker that answers when it is told to. */
class Broker {
  readonly asked: string[] = [];
  readonly left: string[] = [];
  answer: () => Promise<unknown> = () => Promise.resolve();

  readonly fetch = new RetainedFetch({
    subscribe: (topics) => {
      this.asked.push(...topics);
      return this.answer();
    },
    unsubscribe: async (topics) => {
      this.left.push(...topics);
    },
  });
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const topics = (root: string): string[] => ['meta', 'status', 'checkpoint'].map((name) => `${root}/${name}`);

describe('what a broker keeps', () => {
  it('is asked for by name, once in a connection, where batches come and meta did not', async () => {
    const broker = new Broker();
    broker.fetch.begin();
    broker.fetch.heard('t/acme/gw-1/telemetry');
    broker.fetch.heard('t/acme/gw-2/meta');
    broker.fetch.heard('t/acme/gw-2/telemetry');
    await settled();
    assert.deepEqual(broker.asked, [], 'before our own subscriptions stand');
    broker.fetch.ready();
    await settled();
    assert.deepEqual(broker.asked, topics('t/acme/gw-1'));
    assert.deepEqual(broker.left, broker.asked);
    for (let times = 0; times < 3; times += 1) broker.fetch.heard('t/acme/gw-1/telemetry');
    broker.fetch.heard('t/acme/gw-3/event');
    broker.fetch.heard('not/ours');
    await settled();
    assert.equal(broker.asked.length, 3);

    broker.fetch.begin();
    broker.fetch.ready();
    broker.fetch.heard('t/acme/gw-1/telemetry');
    await settled();
    assert.deepEqual(broker.asked.slice(3), topics('t/acme/gw-1'), 'it may have changed meanwhile');
  });

  it('is asked for of one gateway after the other', async () => {
    const broker = new Broker();
    let resolve = (): void => {};
    broker.answer = () => new Promise<void>((done) => (resolve = done));
    broker.fetch.begin();
    broker.fetch.ready();
    for (const gateway of ['gw-1', 'gw-2', 'gw-3']) broker.fetch.heard(`t/acme/${gateway}/telemetry`);
    await settled();
    assert.equal(broker.asked.length, 3);
    // It came by itself in the meantime.
    broker.fetch.heard('t/acme/gw-2/meta');
    resolve();
    await settled();
    assert.deepEqual(broker.asked.slice(3), topics('t/acme/gw-3'));
  });

  it('is not asked for again where the broker refuses', async () => {
    const broker = new Broker();
    broker.answer = () => Promise.reject(Object.assign(new Error('not authorized'), { packet: {} }));
    broker.fetch.begin();
    broker.fetch.ready();
    broker.fetch.heard('t/acme/gw-1/telemetry');
    await settled();
    broker.fetch.heard('t/acme/gw-1/telemetry');
    broker.fetch.heard('t/acme/gw-2/telemetry');
    await settled();
    assert.deepEqual(broker.asked, [...topics('t/acme/gw-1'), ...topics('t/acme/gw-2')]);
  });

  it('is given up where the broker hangs up on the question, three times in a row', async () => {
    const broker = new Broker();
    broker.answer = () => Promise.reject(new Error('Connection closed'));
    for (let connection = 0; connection < 10; connection += 1) {
      broker.fetch.begin();
      broker.fetch.ready();
      broker.fetch.heard('t/acme/gw-1/telemetry');
      broker.fetch.heard('t/acme/gw-2/telemetry');
      await settled();
    }
    assert.equal(broker.asked.length, 3 * 3);
  });

  it('is asked for of no more gateways than are held in memory', async () => {
    const broker = new Broker();
    broker.fetch.begin();
    for (let index = 0; index < 10_100; index += 1) broker.fetch.heard(`t/acme/gw-${index}/telemetry`);
    broker.fetch.ready();
    while (broker.left.length < 3 * 10_000) await settled();
    await settled();
    assert.equal(broker.asked.length, 3 * 10_000);
  });
});
