import type { Arrival } from '../../src/backend/arrival.ts';
import { Consumer, type ConsumerParts } from '../../src/backend/consumer.ts';
import type { Notice } from '../../src/backend/notice.ts';
import type { Row } from '../../src/backend/row.ts';
import { StateStore } from '../../src/backend/state-store.ts';
import { topicOf, type Channel, type Origin } from '../../src/messages/topic.ts';
import { asideLimits } from './parked-limits.ts';
import { FakeClock } from './fake-clock.ts';

/** A consumer with rows and notices for a test to check. */
export class ConsumerBench {
  readonly rows: Row[] = [];
  readonly notices: Notice[] = [];
  readonly clock = new FakeClock();
  readonly store: StateStore;
  readonly consumer: Consumer;

  constructor(changes: Partial<ConsumerParts> & { file?: string } = {}) {
    const { file = ':memory:', ...parts } = changes;
    this.store = new StateStore(file, asideLimits);
    this.consumer = new Consumer({
      clock: this.clock,
      store: this.store,
      sink: {
        write: async (rows) => void this.rows.push(...rows),
        mark: () => undefined,
        close: async () => {},
      },
      vouchFor: undefined,
      evidence: undefined,
      keepRefused: true,
      gapGraceMs: 30_000,
      notify: (notice) => this.notices.push(notice),
      ...parts,
    });
  }

  take(channel: Channel, message: Buffer | string | object, origin: Origin, again = false): Promise<boolean> {
    const text = (): string => (typeof message === 'string' ? message : JSON.stringify(message));
    const payload = Buffer.isBuffer(message) ? message : Buffer.from(text());
    const arrival: Arrival = { topic: topicOf(origin, channel), payload, properties: {}, again };
    return this.consumer.take(arrival);
  }

  /** Lets a gap last until it is named. */
  pass(): void {
    this.consumer.tick();
    this.clock.advance(30_000);
    this.consumer.tick();
  }

  of(kind: string): Notice[] {
    return this.notices.filter((notice) => notice.kind === kind);
  }
}
