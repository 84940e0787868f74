import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { Sample } from '../../src/reading/sample.ts';
import type { SiloStatus } from '../../src/reading/status.ts';
import { type OpenHost, SiloSeat } from '../../src/gateway/silo-seat.ts';
import { LossAccount } from '../../src/silo/loss-account.ts';
import type { AuditAct, SiloBirth } from '../../src/silo/protocol.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { siloStatus } from '../support/status.ts';

const birth = { options: { name: 'north' }, devices: [], configSha256: '' } as unknown as SiloBirth;
const act: AuditAct = {
  kind: 'configuration',
  details: { configSha256: 'b', previousConfigSha256: 'a', changes: ['quota'], by: 'alice' },
};
const stopMs = 4000;

/** A host without an isolate: what reaches it, and a status that the test sets. */
class FakeHost {
  readonly losses = new LossAccount();
  readonly devices = [];
  readonly acts: AuditAct[] = [];
  samples = 0;
  stage: 'new' | 'started' | 'stopped' = 'new';
  is: Partial<SiloStatus> = { state: 'starting', tenant: null };
  /** Ends a stop that was asked for. */
  end = (): void => {};

  start(): void {
    this.stage = 'started';
  }
  deliver(samples: Sample[]): void {
    assert.equal(this.stage, 'started', 'given to a host that is not there');
    this.samples += samples.length;
  }
  status(): SiloStatus {
    return siloStatus('north', this.is);
  }
  record(noted: AuditAct): void {
    this.acts.push(noted);
  }
  quota(): void {}
  request(): Promise<unknown> {
    return Promise.resolve();
  }
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.end = () => {
        this.stage = 'stopped';
        resolve();
      };
    });
  }
}

describe("a silo's seat", () => {
  let clock: FakeClock;
  let hosts: FakeHost[];
  let seat: SiloSeat;
  const open: OpenHost = () => {
    const host = new FakeHost();
    hosts.push(host);
    return host;
  };
  const runs = (tenant: string): Partial<SiloStatus> => ({ state: 'running', tenant });
  const sample = (wallMs: number): Sample => ({ device: 'd', wallMs, monotonicMs: 0, values: { v: 1 } });
  const give = (count: number): void =>
    seat.deliver(Array.from({ length: count }, (_, at) => sample(at + 1)));
  beforeEach(() => {
    clock = new FakeClock();
    hosts = [];
    seat = new SiloSeat(birth, open, clock);
  });

  /** Another host, up to the moment when the old one is gone and the new one started. */
  async function replace(meanwhile: () => void = () => {}): Promise<FakeHost> {
    const done = seat.replace(birth, act, stopMs);
    meanwhile();
    hosts.at(-2)!.end();
    await done;
    return hosts.at(-1)!;
  }

  it('holds what comes before the start', () => {
    give(3);
    assert.equal(hosts[0]!.samples, 0);
    seat.start();
    give(2);
    assert.equal(hosts[0]!.samples, 5);
  });

  it('hands over what came meanwhile, once the new host has proved to be the same tenant', async () => {
    seat.start();
    hosts[0]!.is = runs('acme');
    const next = await replace(() => give(4));
    give(2);
    clock.advance(1000);
    assert.equal(next.samples, 0);
    next.is = runs('acme');
    clock.advance(1000);
    assert.equal(next.samples, 6);
    give(1);
    assert.deepEqual([next.samples, hosts[0]!.samples, next.losses.take()], [7, 0, []]);
  });

  it('gives nothing that was taken for one tenant to another, and says how much that was', async () => {
    seat.start();
    hosts[0]!.is = runs('acme');
    const next = await replace(() => give(4));
    next.is = runs('borealis');
    clock.advance(1000);
    assert.equal(next.samples, 0);
    assert.deepEqual(next.losses.take(), [{ reason: 'restart', samples: 4, from: 1, to: 4 }]);
    give(1);
    assert.equal(next.samples, 1);
  });

  it('remembers the tenant over a host that never proved anything', async () => {
    seat.start();
    hosts[0]!.is = runs('acme');
    await replace(() => give(4));
    const third = await replace(() => give(1));
    third.is = runs('borealis');
    clock.advance(1000);
    assert.deepEqual(third.losses.take(), [{ reason: 'restart', samples: 5, from: 1, to: 4 }]);
    assert.deepEqual(
      hosts.map(({ samples }) => samples),
      [0, 0, 0],
    );
  });

  it('holds no more than a bound, and counts the rest for this silo', async () => {
    seat.start();
    hosts[0]!.is = runs('acme');
    const next = await replace(() => {
      for (let index = 0; index < 110; index += 1) give(1000);
    });
    next.is = runs('acme');
    clock.advance(1000);
    assert.equal(next.samples, 100_000);
    assert.deepEqual(next.losses.take(), [{ reason: 'restart', samples: 10_000, from: 1, to: 1000 }]);
  });

  it('lets a refused one count what it has to refuse', async () => {
    seat.start();
    hosts[0]!.is = runs('acme');
    const next = await replace(() => give(4));
    next.is = { state: 'refused', tenant: null };
    clock.advance(1000);
    assert.equal(next.samples, 4);
  });

  it('takes over what the old host could not tell of any more', async () => {
    seat.start();
    hosts[0]!.is = runs('acme');
    const next = await replace(() => hosts[0]!.losses.add({ reason: 'crash', samples: 7, from: 1, to: 2 }));
    assert.deepEqual(next.losses.take(), [{ reason: 'crash', samples: 7, from: 1, to: 2 }]);
  });

  it("notes the act in the log of whose silo it was, or in the new one's where nobody was there", async () => {
    seat.start();
    hosts[0]!.is = runs('acme');
    await replace();
    assert.deepEqual([hosts[0]!.acts, hosts[1]!.acts], [[act], []]);
    hosts[1]!.is = { state: 'restarting', tenant: 'acme' };
    await replace();
    assert.deepEqual([hosts[1]!.acts, hosts[2]!.acts], [[], [act]]);
  });

  it('counts what waits when everything stops', async () => {
    seat.start();
    hosts[0]!.is = runs('acme');
    const next = await replace(() => give(4));
    const stopped = seat.stop(stopMs);
    assert.deepEqual(next.losses.take(), [{ reason: 'restart', samples: 4, from: 1, to: 4 }]);
    next.end();
    await stopped;
    next.is = runs('acme');
    clock.advance(1000);
    assert.equal(next.samples, 0);
  });
});
