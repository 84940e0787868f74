import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { createLogger, type LogFields, silentLogger } from '../../../src/base/logger.ts';
import type { OpenIsolate } from '../../../src/silo/host/open-isolate.ts';
import { SiloHost } from '../../../src/silo/host/silo-host.ts';
import { type OpenHost, Supervisor } from '../../../src/silo/host/supervisor.ts';
import type { Sample } from '../../../src/reading/sample.ts';
import type { AuditAct, StartMessage } from '../../../src/silo/protocol.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { type ScriptedIsolate, scriptedIsolates } from '../../support/scripted-isolate.ts';
import { siloOptions } from '../../support/silo-options.ts';

const startMessage: StartMessage = { options: siloOptions('north'), devices: [], configSha256: '' };
const act: AuditAct = {
  kind: 'configuration',
  details: { configSha256: 'b', previousConfigSha256: 'a', changes: ['quota'], by: 'alice' },
};
const stopMs = 4000;
/** Longer than any pause between two lives. */
const longMs = 60_000;

describe('supervisor', () => {
  let clock: FakeClock;
  let isolates: ScriptedIsolate[];
  let open: OpenIsolate;
  let supervisor: Supervisor;
  /** What the log says was given up. */
  let given: LogFields[];
  const last = (): ScriptedIsolate => isolates.at(-1)!;
  const deliver = (count: number): void =>
    supervisor.deliver(
      Array.from(
        { length: count },
        (_, at): Sample => ({
          device: 'd',
          wallMs: at + 1,
          monotonicMs: 0,
          values: { v: 1 },
        }),
      ),
    );
  /** What was given up, in the status or told to the isolate, which would count it from then on. */
  const dropped = (): Record<string, number> => {
    const total = { ...supervisor.status().samples.dropped };
    for (const { reason, samples } of isolates.flatMap((isolate) => isolate.toldOf('lost'))) {
      total[reason] = (total[reason] ?? 0) + samples;
    }
    return total;
  };

  beforeEach(() => {
    clock = new FakeClock();
    const scripted = scriptedIsolates();
    ({ isolates, open } = scripted);
    const openHost: OpenHost = (own, queue) =>
      new SiloHost(own, queue, { clock, logger: silentLogger, openIsolate: (...words) => open(...words) });
    given = [];
    const logger = createLogger(({ fields }) => given.push(fields), 'warn');
    supervisor = new Supervisor(startMessage, openHost, clock, logger);
    supervisor.start();
  });

  /** Another host, up to the moment when the old one is gone and the new one started. */
  async function replace(meanwhile: () => void = () => {}): Promise<void> {
    const previous = last();
    const done = supervisor.replace(startMessage, act, stopMs);
    meanwhile();
    previous.goes('left');
    await done;
  }

  describe('delivery of samples', () => {
    it('begins once the silo runs under a tenant, not at its first message', () => {
      deliver(3);
      last().says({ type: 'log', level: 'info', event: 'hello', fields: {} });
      last().is({ state: 'starting' });
      assert.equal(last().samples, 0);
      last().runs('acme');
      deliver(2);
      assert.equal(last().samples, 5);
    });

    it('sends waiting samples in pieces, in their order', () => {
      deliver(1200);
      last().runs('acme');
      assert.deepEqual(last().pieces, [500, 500, 200]);
      const times = last()
        .toldOf('samples')
        .flatMap(({ samples }) => samples.map(({ wallMs }) => wallMs));
      assert.deepEqual(
        times,
        Array.from({ length: 1200 }, (_, at) => at + 1),
      );
    });

    it('resumes after a crash with the samples of the meantime, and counts the unsettled ones as lost', () => {
      last().runs('acme');
      deliver(4);
      last().goes('crashed');
      deliver(2);
      clock.advance(longMs);
      assert.equal(isolates.length, 2);
      last().runs('acme');
      assert.equal(last().samples, 2);
      last().runs('acme');
      const [lost] = last().toldOf('lost');
      assert.deepEqual([lost?.reason, lost?.samples], ['crash', 4]);
    });

    it('loses only unsettled samples in a crash, even after a long stream', () => {
      last().runs('acme');
      deliver(10);
      for (let turn = 0; turn < 1000; turn += 1) {
        deliver(10);
        last().says({ type: 'credit', readings: 10 });
      }
      last().says({ type: 'credit', readings: 3 });
      last().goes('crashed');
      assert.equal(dropped()['crash'], 10);
    });

    it('resumes when a refusal is over', () => {
      last().runs('acme');
      last().is({ state: 'refused', reason: 'expired' });
      deliver(3);
      last().runs('acme');
      deliver(1);
      assert.deepEqual(last().pieces, [1]);
    });

    it('pauses while the silo stops by itself: samples wait for its next run', () => {
      last().runs('acme');
      last().leaves();
      deliver(5);
      last().runs('acme');
      assert.equal(last().samples, 0);
      clock.advance(longMs);
      last().goes('left');
      clock.advance(longMs);
      last().runs('acme');
      assert.equal(last().samples, 5);
      assert.deepEqual(dropped(), {});
    });
  });

  describe('samples taken for another tenant are never delivered', () => {
    it('if the certificate files were swapped while the silo was down', () => {
      last().runs('acme');
      last().goes('crashed');
      deliver(6);
      clock.advance(longMs);
      const thief = last();
      thief.says({ type: 'log', level: 'info', event: 'hello', fields: {} });
      thief.runs('borealis');
      assert.deepEqual([thief.samples, thief.isEnded], [0, true]);
      assert.match(supervisor.status().reason!, /another tenant/);
      assert.equal(supervisor.status().tenant, 'acme');
    });

    it('if the same tenant returns as another gateway', () => {
      last().runs('acme');
      last().is({ state: 'running', tenant: 'acme', gateway: 'acme_gw-0002' });
      assert.ok(isolates[0]!.isEnded);
    });

    it('if a reload changes the tenant: they are lost and counted', async () => {
      last().runs('acme');
      await replace(() => deliver(4));
      last().runs('borealis');
      assert.equal(last().samples, 0);
      deliver(1);
      assert.equal(last().samples, 1);
      assert.deepEqual(last().toldOf('lost'), [], 'it was told how much the other lost');
      assert.deepEqual(given, [{ silo: 'north', restart: 4 }]);
    });

    it('to a refused silo, which has proved no tenant', async () => {
      last().runs('acme');
      await replace(() => deliver(4));
      last().is({ state: 'refused', reason: 'no certificate' });
      deliver(3);
      assert.equal(last().samples, 0);
      assert.equal(dropped()['no-identity'], 7);
    });

    it('after a host in between that proved no tenant', async () => {
      last().runs('acme');
      await replace(() => deliver(4));
      await replace(() => deliver(1));
      last().runs('borealis');
      assert.deepEqual(given, [{ silo: 'north', restart: 5 }]);
      assert.deepEqual(
        isolates.map(({ samples }) => samples),
        [0, 0, 0],
      );
    });
  });

  describe('unsettled and waiting samples are bounded', () => {
    it('in a running silo, and the rest is counted', () => {
      last().runs('acme');
      for (let turn = 0; turn < 110; turn += 1) deliver(1000);
      assert.equal(last().samples, 100_000);
      assert.equal(dropped()['overrun'], 10_000);
      last().says({ type: 'credit', readings: 100_000 });
      deliver(1);
      assert.equal(last().samples, 100_001);
    });

    it('while the silo is down', () => {
      for (let turn = 0; turn < 110; turn += 1) deliver(1000);
      last().runs('acme');
      assert.equal(last().samples, 100_000);
      assert.equal(dropped()['overrun'], 10_000);
    });

    it('while the silo reads nothing', () => {
      last().runs('acme');
      last().isCongested = true;
      deliver(7);
      assert.equal(last().samples, 0);
      assert.equal(dropped()['overrun'], 7);
    });

    it('and a silo that settles more than it was given is terminated', () => {
      last().runs('acme');
      deliver(2);
      last().says({ type: 'credit', readings: 3 });
      assert.ok(last().isEnded);
      assert.match(supervisor.status().reason!, /invalid credit/);
    });
  });

  describe('a silo that is down', () => {
    it('is retried after any error of its start', () => {
      const working = open;
      open = () => {
        throw new Error('no descriptors left');
      };
      last().goes('crashed');
      clock.advance(longMs);
      assert.equal(isolates.length, 1);
      assert.match(supervisor.status().reason!, /no descriptors left/);
      assert.equal(supervisor.status().state, 'restarting');
      open = working;
      clock.advance(longMs);
      assert.equal(isolates.length, 2);
    });

    it('gets changed devices while it runs, and starts with them after a crash', () => {
      last().runs('acme');
      const devices = [{ name: 'annexe', points: [] }];
      supervisor.describe({ devices, configSha256: 'b' });
      assert.equal(isolates.length, 1);
      assert.deepEqual(last().toldOf('devices'), [{ type: 'devices', devices, configSha256: 'b' }]);
      assert.deepEqual(supervisor.devices, devices);
      last().goes('crashed');
      supervisor.describe({ devices: [], configSha256: 'c' });
      clock.advance(longMs);
      assert.equal(isolates.length, 2);
      const [start] = last().toldOf('start');
      assert.deepEqual([start!.startMessage.devices, start!.startMessage.configSha256], [[], 'c']);
      assert.deepEqual(last().toldOf('devices'), []);
    });

    it('answers a retry with the silo’s result, or with why it did nothing', async () => {
      last().runs('acme');
      const asked = supervisor.retryQuarantined('ada');
      const { id, ...request } = last().toldOf('request').at(-1)!;
      assert.deepEqual(request, { type: 'request', method: 'retry', by: 'ada' });
      last().says({ type: 'reply', id, batches: 3, fault: null });
      assert.equal(await asked, 3);

      const refused = assert.rejects(supervisor.retryQuarantined('ada'), { message: 'its disk is full' });
      last().says({ type: 'reply', id: id + 1, batches: 0, fault: 'its disk is full' });
      await refused;

      const silent = assert.rejects(supervisor.retryQuarantined('ada'), /it is running and does not answer/);
      clock.advance(longMs);
      await silent;

      const crashes = assert.rejects(supervisor.retryQuarantined('ada'), { code: 'SiloCrashed' });
      last().goes('crashed');
      await crashes;
      await assert.rejects(supervisor.retryQuarantined('ada'), /it is restarting and does not answer/);
      clock.advance(longMs);
      assert.deepEqual(last().toldOf('request'), [], 'nothing is carried out that was told to have failed');
    });

    it('is quarantined after five crashes, with waiting samples counted; a reload restarts it', () => {
      last().runs('acme');
      for (let crash = 1; crash <= 5; crash += 1) {
        deliver(1);
        last().goes('crashed');
        if (crash < 5) clock.advance(longMs);
      }
      assert.equal(supervisor.status().state, 'quarantined');
      deliver(10);
      assert.equal(dropped()['crash'], 15);
      assert.equal(supervisor.status().uplink?.state ?? 'closed', 'closed');
      void supervisor.checkAgain();
      last().runs('acme');
      deliver(2);
      assert.equal(last().samples, 2);
      assert.equal(isolates.length, 6);
    });

    it('is restarted after ten minutes of quarantine, and after twice as long each time', () => {
      const minuteMs = 60_000;
      const crashes = (): void => {
        for (let crash = 1; crash <= 5; crash += 1) {
          last().runs('acme');
          last().goes('crashed');
          if (crash < 5) clock.advance(longMs);
        }
        assert.equal(supervisor.status().state, 'quarantined');
      };
      for (const minutes of [10, 20, 40, 80, 160, 240, 240]) {
        crashes();
        assert.match(supervisor.status().reason!, /it is tried again after .*, or by 'merestone reload'/);
        const before = isolates.length;
        clock.advance(minutes * minuteMs * 0.9 - 1);
        assert.equal(isolates.length, before, `${minutes}`);
        clock.advance(minutes * minuteMs * 0.1 + 1);
        assert.equal(isolates.length, before + 1, `${minutes}`);
      }
      last().runs('acme');
      assert.equal(supervisor.status().state, 'running');
      deliver(2);
      assert.equal(last().samples, 2);
    });

    it('is quarantined if it repeatedly stops by itself right after its start', () => {
      for (let life = 1; life <= 5; life += 1) {
        last().runs('acme');
        last().goes('left');
        if (life < 5) clock.advance(longMs);
      }
      assert.equal(supervisor.status().state, 'quarantined');
    });

    it('gets reached quotas and acts when it returns', () => {
      last().runs('acme');
      supervisor.quota({ quota: 'bus-share', limit: 0.2, state: 'reached' });
      last().goes('crashed');
      supervisor.record(act);
      clock.advance(longMs);
      assert.deepEqual(last().toldOf('quota'), []);
      last().runs('acme');
      assert.equal(last().toldOf('quota').length, 1);
      assert.deepEqual(
        last()
          .toldOf('record')
          .map((message) => message.act),
        [act],
      );
      supervisor.quota({ quota: 'bus-share', limit: 0.2, state: 'cleared' });
      last().goes('crashed');
      clock.advance(longMs);
      last().runs('acme');
      assert.deepEqual(last().toldOf('quota'), []);
    });
  });

  it('tells the silo of a reached quota after a reload, too', async () => {
    last().runs('acme');
    supervisor.quota({ quota: 'bus-share', limit: 0.2, state: 'reached' });
    await replace();
    last().runs('acme');
    assert.deepEqual(
      last()
        .toldOf('quota')
        .map(({ state }) => state),
      ['reached'],
    );
  });

  it("notes an act in the former tenant's log, or in the new one's if the former silo was down", async () => {
    last().runs('acme');
    await replace();
    assert.equal(isolates[0]!.toldOf('record').length, 1);
    last().runs('acme');
    assert.equal(last().toldOf('record').length, 0);
    last().goes('crashed');
    await supervisor.replace(startMessage, act, stopMs);
    last().runs('acme');
    assert.equal(last().toldOf('record').length, 1);
  });

  it('stops once when asked repeatedly, and terminates the isolate after the deadline', async () => {
    last().runs('acme');
    const stops = [supervisor.stop(stopMs), supervisor.stop(stopMs)];
    assert.equal(last().isEnded, false);
    clock.advance(stopMs);
    await Promise.all(stops);
    assert.ok(last().isEnded);
    assert.equal(supervisor.status().state, 'stopped');
    assert.equal(isolates.length, 1);
  });
});
