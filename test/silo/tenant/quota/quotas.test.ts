import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { before, describe, it, type TestContext } from 'node:test';
import { createLogger, type LogRecord, silentLogger } from '../../../../src/base/logger.ts';
import type { QuotaName, QuotaStatus } from '../../../../src/status/status.ts';
import type { AuditEntry } from '../../../../src/audit/audit-entry.ts';
import { Journal } from '../../../../src/silo/tenant/journal.ts';
import { LossCount } from '../../../../src/silo/loss-count.ts';
import { QuotaEdges, type QuotaEdge } from '../../../../src/silo/tenant/quota/quota-edges.ts';
import { Quotas } from '../../../../src/silo/tenant/quota/quotas.ts';
import { Timekeeper } from '../../../../src/silo/tenant/ingest/timekeeper.ts';
import type { Spool } from '../../../../src/spool/spool.ts';
import { type Authority, createAuthority } from '../../../../src/simulator/certificate-authority.ts';
import type { StreamEvent } from '../../../../src/messages/event.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { SiloRig } from '../../../support/silo-rig.ts';
import { nextNoon, type SiloChanges } from '../../../support/silo-options.ts';
import { Site } from '../../../support/site.ts';
import { acme, openTestSpool } from '../../../support/spool.ts';
import { temporaryDirectory } from '../../../support/temporary-directory.ts';

let authority: Authority;
before(async () => {
  authority = await createAuthority('Test CA');
});

async function siteOf(t: TestContext): Promise<Site> {
  const site = await Site.create(authority);
  t.after(() => site[Symbol.asyncDispose]());
  await site.issueGateway('north', acme.tenant);
  return site;
}

async function start(t: TestContext, changes: SiloChanges = {}): Promise<SiloRig> {
  return SiloRig.start((await siteOf(t)).folder, changes);
}

function quotaOf(rig: SiloRig, quota: QuotaName): QuotaStatus {
  return rig.status.quotas.find((each) => each.quota === quota)!;
}

/** The edges in events, and those in the audit log. */
function edgesOf(events: readonly StreamEvent[], entries: readonly AuditEntry[]): [string[], string[]] {
  const show = (all: readonly { kind: string }[]): string[] =>
    all
      .filter(({ kind }) => kind === 'quota')
      .map((each) => each as { kind: string } & QuotaEdge)
      .map(({ quota, limit, state }) => `${quota} of ${limit} ${state}`);
  return [show(events), show(entries)];
}

describe('a silo at its quota', () => {
  it('of samples a second drops the excess, and reports how much and why', async (t) => {
    const rig = await start(t, { quota: { samplesPerSecond: 10 } });
    await rig.pass(5, () => rig.feed(30));
    assert.deepEqual(quotaOf(rig, 'samples-per-second'), {
      quota: 'samples-per-second',
      limit: 10,
      used: 30,
      state: 'reached',
    });
    await rig.pass(12, () => rig.feed(1));
    assert.equal(quotaOf(rig, 'samples-per-second').state, 'clear');
    assert.equal(rig.credit, rig.status.samples.received);
    const { stored, dropped } = rig.status.samples;
    assert.deepEqual([stored, dropped], [62, { quota: 100 }]);
    const events = await rig.stop();
    const told = ['samples-per-second of 10 reached', 'samples-per-second of 10 cleared'];
    assert.deepEqual(edgesOf(events, rig.audit()), [told, told]);
    const losses = events.filter((event) => event.kind === 'samples-dropped');
    assert.ok(losses.every(({ reason, from, to }) => reason === 'quota' && from! <= to!));
    assert.equal(
      losses.reduce((sum, { samples }) => sum + samples, 0),
      100,
    );
    const offTheBox = events.flatMap((event) => (event.kind === 'audit' ? [event.entry['kind']] : []));
    assert.equal(offTheBox.filter((kind) => kind === 'quota').length, 2);
  });

  it('of CPU makes the backlog wait, then drops a part of the samples, and later admits all again', async (t) => {
    const rig = await start(t, { quota: { cpuShare: 0.25 } });
    const measure = (cpuShare: number): Promise<void> =>
      rig.silo.handle({
        type: 'usage',
        usage: { cpuShare, memoryBytes: 24_000_000, memoryBytesMax: 96_000_000 },
      });
    await rig.pass(10, async () => {
      await measure(0.5);
      await rig.feed(10);
    });
    assert.deepEqual(rig.status.samples.dropped, {}, 'not before the backlog has waited');
    assert.deepEqual(quotaOf(rig, 'cpu-share'), {
      quota: 'cpu-share',
      limit: 0.25,
      used: 0.5,
      state: 'reached',
    });
    assert.equal(rig.status.usage?.memoryBytes, 24_000_000);
    await rig.pass(10, async () => {
      await measure(0.5);
      await rig.feed(10);
    });
    const dropped = rig.status.samples.dropped['cpu-quota']!;
    assert.ok(dropped >= 50 && dropped <= 60, `${dropped} of 100 at twice the share`);
    await rig.pass(80, () => measure(0.1));
    await rig.feed(10);
    await rig.pass(1);
    assert.equal(rig.status.samples.dropped['cpu-quota'], dropped);
    assert.equal(quotaOf(rig, 'cpu-share').state, 'clear');
    assert.equal(rig.credit, rig.status.samples.received);
    const events = await rig.stop();
    const told = ['cpu-share of 0.25 reached', 'cpu-share of 0.25 cleared'];
    assert.deepEqual(edgesOf(events, rig.audit()), [told, told]);
    const losses = events.filter((event) => event.kind === 'samples-dropped');
    assert.deepEqual([...new Set(losses.map(({ reason }) => reason))], ['cpu-quota']);
  });

  it('of CPU ignores the last measurement once measurements stop', async (t) => {
    const rig = await start(t, { quota: { cpuShare: 0.1 } });
    const usage = { cpuShare: 1, memoryBytes: 0, memoryBytesMax: 1 };
    await rig.pass(20, () => rig.silo.handle({ type: 'usage', usage }));
    await rig.pass(31);
    await rig.feed(50);
    await rig.pass(15);
    assert.deepEqual(rig.status.samples.dropped, {});
    assert.equal(quotaOf(rig, 'cpu-share').state, 'clear');
    await rig.stop();
  });

  it('that the gateway enforces notes the quota with its limit', async (t) => {
    const rig = await start(t, { quota: { busShare: 0.2 } });
    assert.deepEqual(quotaOf(rig, 'bus-share'), { quota: 'bus-share', limit: 0.2, used: 0, state: 'clear' });
    await rig.silo.handle({ type: 'quota', quota: 'bus-share', limit: 0.2, state: 'reached' });
    await rig.pass(60);
    assert.equal(quotaOf(rig, 'bus-share').state, 'reached');
    await rig.silo.handle({ type: 'quota', quota: 'bus-share', limit: 0.2, state: 'cleared' });
    await rig.pass(12);
    assert.equal(quotaOf(rig, 'bus-share').state, 'clear');
    const told = ['bus-share of 0.2 reached', 'bus-share of 0.2 cleared'];
    assert.deepEqual(edgesOf(await rig.stop(), rig.audit()), [told, told]);
  });

  for (const whenFull of ['drop-oldest', 'drop-newest'] as const) {
    it(`of spool bytes reports it, under ${whenFull}`, async (t) => {
      const rig = await start(t, { spool: { bytesMax: 1_000_000, whenFull } });
      const { limit, state } = quotaOf(rig, 'spool-bytes');
      assert.deepEqual([limit, state], [1_000_000, 'clear']);
      for (let batch = 0; quotaOf(rig, 'spool-bytes').state === 'clear'; batch += 1) {
        assert.ok(batch < 100, 'it never fills');
        await rig.feed(1, { noise: randomBytes(30_000).toString('base64') });
        await rig.pass(1);
      }
      const { used } = quotaOf(rig, 'spool-bytes');
      assert.ok(used > 700_000 && used <= 1_000_000, `${used} bytes in use`);
      await rig.pass(12);
      assert.equal(quotaOf(rig, 'spool-bytes').state, 'clear');
      const told = ['spool-bytes of 1000000 reached', 'spool-bytes of 1000000 cleared'];
      const events = await rig.stop();
      assert.deepEqual(edgesOf(events, rig.audit()), [told, told]);
      const loss = whenFull === 'drop-oldest' ? 'dropped' : 'samples-dropped';
      assert.ok(events.some((event) => event.kind === loss && event.reason === 'spool full'));
    });
  }
});

describe('the count of a day', () => {
  it('continues over a start in 1970 and a restart, and restarts only by a good clock', async (t) => {
    const directory = temporaryDirectory(t);
    const noon = nextNoon();
    const clock = new FakeClock(noon);
    let synchronized = true;
    const open = async () => {
      const spool = await openTestSpool(directory, {}, { clock });
      const time = { clock, bootId: 'boot', synchronized: () => synchronized, setFromHardware: false };
      const timekeeper = new Timekeeper(time, noon - 1);
      const journal = Journal.open(directory, { origin: acme, clock, logger: silentLogger });
      const edges = new QuotaEdges({ 'uplink-bytes-per-day': 1000 });
      const parts = { edges: edges, clock, spool, journal, timekeeper, logger: silentLogger };
      const losses = new LossCount();
      const quotas = new Quotas({ uplinkBytesPerDay: 1000 }, { ...parts, losses, settled: () => {} });
      const close = (): void => [quotas, journal, spool].forEach((each) => each.close());
      return { quotas, timekeeper, edges, close };
    };
    let life = await open();
    life.quotas.sent(1000);
    assert.equal(life.quotas.reach(), 'none');
    life.close();

    clock.setWall(60_000);
    synchronized = false;
    life = await open();
    assert.equal(life.quotas.reach(), 'none', '1970 is no new day');
    life.quotas.sent(50);
    life.quotas.tick();
    assert.partialDeepStrictEqual(life.edges.status(), [{ used: 1050, state: 'reached' }]);
    clock.setWall(noon + 60_000);
    synchronized = true;
    life.timekeeper.check();
    assert.equal(life.quotas.reach(), 'none', 'and that was the same day');
    life.close();

    life = await open();
    clock.setWall(noon + 43_200_000);
    assert.equal(life.quotas.reach(), 'all');
    life.close();
  });

  it('continues in memory while the disk fails', async (t) => {
    const spool = await openTestSpool(temporaryDirectory(t));
    t.after(() => spool.close());
    const clock = new FakeClock(nextNoon());
    const time = { clock, bootId: 'boot', synchronized: () => true, setFromHardware: true };
    const log: LogRecord[] = [];
    const keepSent = (): void => {
      throw new Error('the disk is full');
    };
    const failing = { keepSent, sent: undefined, status: () => spool.status() } as unknown as Spool;
    const quotas = new Quotas(
      { uplinkBytesPerDay: 1000 },
      {
        edges: new QuotaEdges({}),
        clock,
        spool: failing,
        journal: {} as Journal,
        timekeeper: new Timekeeper(time, 0),
        logger: createLogger((record) => log.push(record), 'debug'),
        losses: new LossCount(),
        settled: () => {},
      },
    );
    for (let packet = 0; packet < 100; packet += 1) quotas.sent(10);
    assert.equal(quotas.reach(), 'none');
    assert.ok(log.every(({ event }) => event === "the day's count is not saved"));
    assert.ok(log.length > 0);
  });
});

describe('acts on the gateway', () => {
  const refused = { by: 'mallory', method: 'reload', reason: 'may not' };
  const configuration = {
    configSha256: 'cd'.repeat(32),
    previousConfigSha256: null,
    changes: ['silos.north.quota.cpuShare'],
    by: 'alice',
  };

  it('are in the audit log, and cannot fill it', async (t) => {
    const rig = await start(t);
    await rig.silo.handle({ type: 'record', act: { kind: 'configuration', details: configuration } });
    for (let time = 0; time < 500; time += 1) {
      await rig.silo.handle({ type: 'record', act: { kind: 'refused-request', details: refused } });
    }
    const change = (await rig.auditWithNames()).find(({ kind }) => kind === 'configuration');
    assert.doesNotMatch(JSON.stringify(rig.audit()), /cpuShare/, 'sealed on the disk');
    assert.partialDeepStrictEqual(change, configuration);
    const refusals = (): AuditEntry[] => rig.audit().filter(({ kind }) => kind === 'refused-request');
    assert.equal(refusals().length, 60);
    assert.partialDeepStrictEqual(refusals()[0], refused);
    rig.clock.advance(3_600_000);
    await rig.pass(2);
    assert.equal(refusals().length, 61);
    assert.partialDeepStrictEqual(refusals().at(-1), { by: 'mallory', method: 'reload', times: 440 });
    const events = await rig.stop();
    const offTheBox = events.filter(
      (event) => event.kind === 'audit' && event.entry['kind'] === 'refused-request',
    );
    assert.equal(offTheBox.length, 61);
  });

  it('are in the log of a silo without an identity too, and the counted ones follow at its stop', async (t) => {
    const site = await siteOf(t);
    rmSync(site.path('north.crt'));
    const rig = await SiloRig.start(site.folder, { quota: { cpuShare: 0.5 } });
    assert.equal(rig.status.state, 'refused');
    assert.deepEqual(
      rig.status.quotas.map(({ quota, state }) => [quota, state]),
      [
        ['spool-bytes', 'clear'],
        ['cpu-share', 'clear'],
      ],
    );
    for (let time = 0; time < 63; time += 1) {
      await rig.silo.handle({ type: 'record', act: { kind: 'refused-request', details: refused } });
    }
    await rig.silo.handle({ type: 'stop' });
    const entries = rig.audit('nobody').filter(({ kind }) => kind === 'refused-request');
    assert.equal(entries.length, 61);
    assert.equal(entries.at(-1)!['times'], 3);
    assert.deepEqual(rig.audit(), []);
  });

  it('show the isolation of a silo', async (t) => {
    const rig = await start(t, { isolation: { kind: 'process' } });
    assert.equal(rig.status.isolation, 'process');
    await rig.stop();
  });
});
