import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { createAuthority } from '../../src/simulator/certificate-authority.ts';
import { LeapingClock } from './leaping-clock.ts';
import { LiveSilo } from './live-silo.ts';
import { Mosquitto } from './mosquitto.ts';
import { Site } from './site.ts';
import { Subscriber } from './subscriber.ts';
import { until } from './until.ts';

/** Random changes of an operator to a broker under load, and other events meanwhile. */
const steps = ['feed', 'feed', 'feed', 'feed', 'wait', 'wait', 'check'] as const;
const changes = [
  'lower',
  'lower',
  'raise',
  'lift',
  'minutes',
  'an hour',
  'a day',
  'retry',
  'restart',
] as const;

/** A batch of a few samples is below the largest, and CONNECT with its will above the smallest. */
const limits = [250, 600, 1500, 5000, 20_000] as const;
const options = ['message_size_limit', 'max_packet_size'] as const;

const hourMs = 3_600_000;
/** The broker's limits change in seconds here that are minutes of the silo's. */
const factor = 20;
const settleMs = 120_000;

type Pick = (below: number) => number;

export interface BrokerSoak {
  samples: number;
  batches: number;
  /** Deliveries of a batch that had arrived before, under the same number. */
  repeats: number;
  limitChanges: number;
  quarantined: number;
}

/**
 * Runs `count` steps with a real Mosquitto whose limits of size are lowered, raised and lifted by rewriting
 * its configuration, under load. Throws if a batch leaves the spool without having arrived, a sample is lost or
 * arrives under two numbers, or a number is missing without an event.
 */
export async function soakBroker(protocol: '5' | '3.1.1', count: number, pick: Pick): Promise<BrokerSoak> {
  const authority = await createAuthority('Test CA');
  await using site = await Site.create(authority);
  await site.issueGateway('north', 'acme');
  await site.issueBackend();
  await using broker = await Mosquitto.start({ authority });
  const subscriber = await Subscriber.open(site, broker.url, 'backend', { keepsSession: true });
  try {
    const life = new BrokerLife(site, broker, subscriber, pick);
    await life.begin(protocol, await mkdtemp(join(site.folder, 'silo-')));
    try {
      for (let step = 0; step < count; step += 1) await life.step();
      await life.settle();
    } finally {
      await life.end();
    }
    return life.account();
  } finally {
    await subscriber.close();
  }
}

class BrokerLife {
  readonly #site: Site;
  readonly #broker: Mosquitto;
  readonly #subscriber: Subscriber;
  readonly #pick: Pick;
  readonly #clock = new LeapingClock(factor);
  #open!: (fed: number) => Promise<LiveSilo>;
  #silo!: LiveSilo;
  /** Of the silos before this one. */
  #acceptedBefore = 0;
  #limit = Infinity;
  #limitChanges = 0;

  constructor(site: Site, broker: Mosquitto, subscriber: Subscriber, pick: Pick) {
    this.#site = site;
    this.#broker = broker;
    this.#subscriber = subscriber;
    this.#pick = pick;
  }

  async begin(protocol: '5' | '3.1.1', directory: string): Promise<void> {
    const silo = {
      uplink: {
        url: this.#broker.url,
        ca: this.#site.path('ca.crt'),
        protocol,
        noSubscribers: 'keep' as const,
      },
      // The spool is large enough to drop nothing.
      spool: { directory, bytesMax: 100_000_000 },
      batch: { lingerMs: 1000, samplesMax: 500, bytesMax: 60_000 },
    };
    this.#open = (fed) => LiveSilo.start(this.#site.folder, this.#clock, silo, fed);
    this.#silo = await this.#open(0);
  }

  async end(): Promise<void> {
    await this.#silo[Symbol.asyncDispose]();
  }

  async step(): Promise<void> {
    if (this.#pick(3) === 0) await this.#change(changes[this.#pick(changes.length)]!);
    const what = steps[this.#pick(steps.length)]!;
    if (what === 'feed') await this.#feed(1 + this.#pick(12));
    if (what === 'wait') await pause(this.#pick(200));
    if (what === 'check') await this.#check();
  }

  /** The limit is removed, and every batch must arrive. */
  async settle(): Promise<void> {
    await this.#setLimit(Infinity, 'restart');
    await until(() => this.#isEmpty(), 'the spool is empty', settleMs).catch((error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(this.#silo.status)}`);
    });
    await this.#check();
  }

  /** What arrived against what was fed; throws where they differ. */
  account(): BrokerSoak {
    const { batches, events } = this.#subscriber;
    const contents = new Map<string, string>();
    const keysOf = new Map<unknown, string>();
    for (const { epoch, seq, samples } of batches) {
      const key = `${epoch}/${seq}`;
      const content = JSON.stringify(samples);
      assert.equal(contents.get(key) ?? content, content, `${key} came twice, with other content`);
      contents.set(key, content);
      for (const { values } of samples) {
        const number = values['number'];
        assert.equal(keysOf.get(number) ?? key, key, `sample ${String(number)} came under two numbers`);
        keysOf.set(number, key);
      }
    }
    const { fed } = this.#silo;
    const missing = Array.from({ length: fed }, (_, index) => index + 1).filter((each) => !keysOf.has(each));
    assert.deepEqual(missing, [], 'samples are lost');
    assert.equal(keysOf.size, fed, 'samples that were never fed');
    this.#assertNoHoles([...contents.keys()]);
    const quarantined = new Set(events.flatMap((event) => (event.kind === 'quarantined' ? [event.id] : [])));
    return {
      samples: fed,
      batches: contents.size,
      repeats: batches.length - contents.size,
      limitChanges: this.#limitChanges,
      quarantined: quarantined.size,
    };
  }

  #assertNoHoles(keys: readonly string[]): void {
    for (const [epoch, ofEpoch] of Map.groupBy(keys, (key) => key.split('/')[0]!)) {
      const seqs = ofEpoch.map((key) => Number(key.split('/')[1]));
      assert.equal(Math.max(...seqs), seqs.length, `a number of ${epoch} is missing`);
    }
  }

  /** Some of them large. */
  async #feed(samples: number): Promise<void> {
    for (let count = 0; count < samples; count += 1)
      await this.#silo.feed(1 + this.#pick(this.#pick(8) === 0 ? 1200 : 80));
  }

  async #change(change: (typeof changes)[number]): Promise<void> {
    const way = this.#pick(2) === 0 ? 'reload' : 'restart';
    const other = limits[this.#pick(limits.length)]!;
    if (change === 'lower' && other < this.#limit) await this.#setLimit(other, way);
    if (change === 'raise' && other > this.#limit) await this.#setLimit(other, way);
    if (change === 'lift') await this.#setLimit(Infinity, way);
    if (change === 'minutes') this.#clock.leap((2 + this.#pick(20)) * 60_000);
    if (change === 'an hour') this.#clock.leap(hourMs);
    if (change === 'a day') this.#clock.leap(25 * hourMs);
    if (change === 'retry') await this.#silo.retry('ada');
    if (change === 'restart') await this.#restartSilo();
  }

  async #setLimit(bytes: number, way: 'reload' | 'restart'): Promise<void> {
    const option = options[this.#pick(options.length)]!;
    if (way === 'restart') await this.#broker.stop();
    await this.#broker.setConfig(bytes === Infinity ? [] : [`${option} ${bytes}`]);
    await this.#broker.start();
    this.#limit = bytes;
    this.#limitChanges += 1;
  }

  async #restartSilo(): Promise<void> {
    const { fed } = this.#silo;
    await this.end();
    this.#acceptedBefore += this.#silo.accepted;
    this.#silo = await this.#open(fed);
  }

  /** What the silo counts as accepted has arrived, under any limit. */
  async #check(): Promise<void> {
    const accepted = this.#acceptedBefore + this.#silo.accepted;
    const arrived = (): number =>
      new Set(this.#subscriber.batches.map(({ epoch, seq }) => `${epoch}/${seq}`)).size;
    await until(() => arrived() >= accepted, `${accepted} accepted batches have arrived`);
  }

  /** Lets a quarter of an hour pass each time, and retries quarantined batches until there are none. */
  async #isEmpty(): Promise<boolean> {
    await this.#silo.retry('ada');
    const retried = this.#silo.log.findLast(
      ({ event }) => event === 'quarantined batches are sent once more',
    );
    await pause(1500);
    const { spool } = this.#silo.status;
    if (spool?.batches === 0 && spool.events <= 1 && retried?.fields['batches'] === 0) return true;
    this.#clock.leap(hourMs / 4);
    await pause(1500);
    return false;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
