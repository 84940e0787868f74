import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { createLogger, type LogRecord, silentLogger } from '../../../src/base/logger.ts';
import { SampleQueue } from '../../../src/silo/host/sample-queue.ts';
import { SiloHost } from '../../../src/silo/host/silo-host.ts';
import type { StartMessage } from '../../../src/silo/protocol.ts';
import { siloOptions } from '../../support/silo-options.ts';
import { until } from '../../support/until.ts';
import { type IsolatedSilo, type IsolationKind, isolatedSilos } from '../../support/isolations.ts';

function startMessageOf(name: string, memoryMbMax = 64): StartMessage {
  return { options: siloOptions(name, { memoryMbMax }), devices: [], configSha256: '00'.repeat(32) };
}

for (const kind of Object.keys(isolatedSilos) as IsolationKind[]) {
  describe(`a faulty silo in a ${kind}`, { concurrency: 3 }, () => {
    async function go(
      test: TestContext,
      fault: string,
      more: { cpuShare?: number; log?: LogRecord[]; opened?: IsolatedSilo[] } = {},
    ): Promise<SiloHost> {
      const { log = [], opened = [], ...quota } = more;
      const isolated = await isolatedSilos[kind]('rogue');
      opened.push(isolated);
      const startMessage = startMessageOf(fault);
      const options = { ...startMessage.options, quota };
      const host = new SiloHost({ ...startMessage, options }, new SampleQueue(Date.now), {
        clock: systemClock,
        logger: createLogger((record) => log.push(record), 'debug'),
        openIsolate: isolated.open,
      });
      test.after(async () => {
        await host.stop(2000);
        await isolated[Symbol.asyncDispose]();
      });
      host.start();
      return host;
    }

    const down = (host: SiloHost): Promise<void> =>
      until(() => host.status().restarts > 0, 'it was ended and comes back');

    it('has its CPU and memory in the status', async (test) => {
      const host = await go(test, 'sane');
      await until(() => host.status().usage !== null, 'a measurement');
      const { memoryBytes, memoryBytesMax, cpuShare } = host.status().usage!;
      assert.equal(memoryBytesMax, 64_000_000);
      assert.ok(memoryBytes > 1_000_000 && memoryBytes < 64_000_000, String(memoryBytes));
      assert.ok(cpuShare >= 0 && cpuShare < 1.2, String(cpuShare));
      assert.equal(host.status().restarts, 0);
    });

    it('is terminated if its heap grows without end', async (test) => {
      const host = await go(test, 'heap-leak');
      await down(host);
      assert.match(host.status().reason!, /memory/);
    });

    it('is terminated if its buffers grow without end, which no heap limit covers', async (test) => {
      const host = await go(test, 'buffer-leak');
      await down(host);
      assert.match(host.status().reason!, /took \d+ MB of memory and may take 64 MB \(memoryMax\)/);
    });

    it('is terminated in an endless loop', async (test) => {
      const host = await go(test, 'loop');
      await down(host);
      assert.match(host.status().reason!, /hung: no sign of life for 3 s/);
    });

    it('is terminated if it exceeds its share of CPU for long', async (test) => {
      // A share that it exceeds on a busy machine too, which gives it little.
      const host = await go(test, 'busy', { cpuShare: 0.01 });
      await down(host);
      const reason = host.status().reason!;
      assert.match(reason, /took \d+ % of a core and may take 1 % \(quota.cpuShare\)/);
      const percent = Number(/took (\d+) %/.exec(reason)![1]);
      assert.ok(percent >= 2 && percent <= 100, reason);
    });

    it('is quarantined with the reason after five crashes', async (test) => {
      const host = await go(test, 'crash');
      await until(() => host.status().state === 'quarantined', 'quarantine', 60_000);
      assert.match(host.status().reason!, /crashed 5 times in ten minutes; the last time: injected fault/);
    });

    it('can neither flood the log nor write into it under another name', async (test) => {
      const log: LogRecord[] = [];
      const host = await go(test, 'log-chatter', { log });
      await until(() => log.some(({ event }) => event === 'log lines left out'), 'more than is taken');
      const lines = log.filter(({ event }) => event === 'help');
      assert.ok(lines.length < 1000, `${lines.length} lines`);
      assert.equal(host.status().restarts, 0);
      assert.deepEqual([...new Set(lines.map(({ fields }) => fields['silo']))], ['log-chatter']);
      assert.ok(lines.every(({ fields }) => !('time' in fields) && !('level' in fields)));
      assert.ok(lines.every(({ fields }) => String(fields['reason']).length < 3000));
    });

    for (const fault of ['endless-log', 'print-flood', 'log-flood']) {
      it(`is terminated before its messages fill the memory (${fault})`, async (test) => {
        const host = await go(test, fault);
        const before = process.memoryUsage().rss;
        await until(() => host.status().state === 'quarantined', 'five ends', 60_000);
        assert.match(host.status().reason!, /said more than (1 MB|100 things) a second/);
        const grown = process.memoryUsage().rss - before;
        assert.ok(grown < 500_000_000, `${Math.round(grown / 1e6)} MB`);
      });
    }

    it('is terminated if it throws a value that is no error', async (test) => {
      const host = await go(test, 'throws-null');
      await down(host);
      assert.match(host.status().reason!, /crashed/);
    });

    it('cannot claim to be another tenant', async (test) => {
      const host = await go(test, 'impostor');
      await until(() => host.status().tenant === 'acme', 'the first tenant');
      const { name, restarts } = host.status();
      assert.deepEqual({ name, restarts }, { name: 'impostor', restarts: 0 });
      await down(host);
      assert.match(host.status().reason!, /gave itself out as another tenant/);
      assert.equal(host.status().tenant, 'acme');
    });

    it('sees nothing of the gateway’s environment', async (test) => {
      process.env['MERESTONE_TEST_SECRET'] = 'of another silo';
      test.after(() => delete process.env['MERESTONE_TEST_SECRET']);
      const log: LogRecord[] = [];
      const opened: IsolatedSilo[] = [];
      await go(test, 'environment', { log, opened });
      await until(() => log.some(({ event }) => event === 'environment'), 'what it sees');
      const { fields } = log.find(({ event }) => event === 'environment')!;
      const [environment, words] = JSON.parse(String(fields['seen'])) as [object, string[]];
      assert.deepEqual(environment, {});
      // Nor of the process that it is in, which has one as this one has.
      const { pid } = opened[0]!.process ?? process;
      if (pid !== process.pid) {
        assert.match(readFileSync(`/proc/${pid}/environ`, 'utf8'), /MERESTONE_TEST_SECRET=/);
      }
      assert.equal(words.length, 2);
      assert.ok(words[1]!.endsWith('rogue-silo.ts'));
    });

    for (const fault of ['garbage', 'greedy']) {
      it(`is terminated after an invalid message (${fault})`, async (test) => {
        const host = await go(test, fault);
        await down(host);
        assert.match(host.status().reason!, /said something that no silo says|invalid credit/);
      });
    }

    it('can fill neither memory nor status', async (test) => {
      const host = await go(test, 'big-talker');
      await until(() => host.status().reason !== null, 'a status');
      assert.ok(host.status().reason!.length < 3000);
      assert.ok(Object.keys(host.status().samples.dropped).length <= 32);
    });

    it('does not affect another silo', async (test) => {
      const healthy = await go(test, 'sane');
      const faulty = await Promise.all(
        ['crash', 'loop', 'buffer-leak', 'log-flood'].map((each) => go(test, each)),
      );
      await until(
        () => faulty.slice(0, 3).every((host) => host.status().restarts > 0),
        'all of them ended',
        60_000,
      );
      assert.equal(healthy.status().restarts, 0);
      assert.equal(healthy.status().state, 'running');
    });
  });
}

describe('a silo that allocates more memory at once than its limit', () => {
  it('crashes only its own process', async (test) => {
    const isolated = await isolatedSilos.process('rogue');
    test.after(() => isolated[Symbol.asyncDispose]());
    const dependencies = { clock: systemClock, logger: silentLogger, openIsolate: isolated.open };
    const host = new SiloHost(startMessageOf('huge-array'), new SampleQueue(Date.now), dependencies);
    test.after(() => host.stop(2000));
    host.start();
    await until(() => host.status().restarts > 0, 'its end');
    assert.match(host.status().reason!, /crashed/);
  });
});
