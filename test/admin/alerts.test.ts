import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { metricsOf } from '../../src/admin/metrics.ts';
import {
  changed,
  type Change,
  type Course,
  ended,
  type Expectation,
  goodDay,
  promtool,
  rehearse,
  rulesFile,
} from '../support/alert-rehearsal.ts';
import { parseExposition } from '../support/exposition.ts';
import { troubledStatus } from '../support/status.ts';

interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

const rules = (parse(readFileSync(rulesFile, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const alerts = rules.filter(({ alert }) => alert !== undefined);
const minutes = 180;
const hour = 60;

describe('config/prometheus-alerts.yaml', () => {
  let healthy: Course;
  before(async () => {
    healthy = await goodDay(minutes);
  });

  /** Alerts that have been seen to fire, as name and severity. */
  const seen = new Set<string>();

  async function plays(course: Course, expected: Expectation[]): Promise<void> {
    assert.equal(await rehearse(course, expected), '');
    for (const alert of expected.flatMap(([, firing]) => firing)) {
      seen.add(alert.replace(/^(\w+)\{.*severity="(\w+)".*$/, '$1 $2'));
    }
  }
  const fires = (what: string, change: Change, expected: Expectation[]): void => {
    it(what, () => plays(changed(healthy, change), expected));
  };
  const north = (alert: string, severity: string, more = ''): string =>
    `${alert}{severity="${severity}",tenant="acme",silo="north"${more}}`;
  const south = (alert: string, severity: string, more = ''): string =>
    `${alert}{severity="${severity}",tenant="globex",silo="south"${more}}`;

  it('is accepted by Prometheus, templates included', async () => {
    const { exitCode, output } = await promtool('check', 'rules', '--lint=all', '--lint-fatal', rulesFile);
    assert.equal(exitCode, 0, output);
  });

  it('has a severity, a delay, a summary and a remedy for each alert', () => {
    for (const { alert, labels, annotations = {}, for: delay } of alerts) {
      assert.match(alert!, /^Merestone[A-Z]\w+$/);
      assert.deepEqual(Object.keys(labels!), ['severity'], alert);
      assert.match(labels!['severity']!, /^(critical|warning)$/, alert);
      assert.match(delay!, /^\d+[mh]$/, alert);
      assert.deepEqual(Object.keys(annotations), ['summary', 'description'], alert);
      assert.ok(annotations['summary']!.length < 200, alert);
      assert.ok(annotations['description']!.length > 50, alert);
    }
  });

  it('links only to existing pages and sections', () => {
    const root = new URL('../../', import.meta.url);
    const pages = rules.flatMap(({ annotations = {} }) => [
      ...(annotations['description'] ?? '').matchAll(/(docs\/[\w-]+\.md|README)(?:, "([^"]+)")?/g),
    ]);
    assert.ok(pages.length > 10);
    for (const [, page, chapter] of pages) {
      const text = readFileSync(new URL(page === 'README' ? 'README.md' : page!, root), 'utf8');
      if (chapter !== undefined)
        assert.match(text, new RegExp(`^#+ ${chapter}$|\\*\\*${chapter}\\.`, 'm'), page);
    }
  });

  it('has no firing or pending alert in three healthy hours', async () => {
    const looks = Array.from({ length: minutes / 5 + 1 }, (_, index): Expectation => [index * 5, []]);
    assert.equal(await rehearse(healthy, looks, { pending: true }), '');
  });

  describe('data that does not leave', () => {
    const growing = { 'merestone_spool_oldest_age_seconds{silo="north"}': '0+60x180' };
    fires('is told after an hour', growing, [
      [66, []],
      [80, [north('MerestoneDataNotLeaving', 'critical')]],
    ]);
    fires(
      'is not when the backlog is being worked off',
      { 'merestone_spool_oldest_age_seconds{silo="north"}': '20000-70x180' },
      [
        [40, []],
        [120, []],
      ],
    );
    fires(
      'is not when a quota holds it back, which is told instead',
      {
        ...growing,
        'merestone_quota_reached{silo="north",quota="uplink-bytes-per-day"}': '0x10 1x170',
      },
      [
        [40, []],
        [80, [north('MerestoneQuotaReached', 'warning', ',quota="uplink-bytes-per-day"')]],
      ],
    );
  });

  describe('a spool that fills', () => {
    const backlog = {
      'merestone_spool_oldest_age_seconds{silo="north"}': '0+60x59',
      'merestone_spool_batches{silo="north"}': '3+60x59',
    };
    const bytes = 'merestone_spool_bytes_in_use{silo="north"}';
    fires('is told a day ahead', { ...backlog, [bytes]: '400000000+150000x59' }, [
      [42, []],
      [59, [north('MerestoneSpoolFilling', 'warning')]],
    ]);
    fires('and louder four hours ahead', { ...backlog, [bytes]: '400000000+1000000x59' }, [
      [38, []],
      [59, [north('MerestoneSpoolFilling', 'critical')]],
    ]);
    fires(
      'is no news where its files are large from last time',
      { ...backlog, 'merestone_spool_bytes{silo="north"}': '490000000+1000000x59' },
      [[59, []]],
    );
    fires('nor where it stays as full as it is', { [bytes]: '490000000x59' }, [[59, []]]);
    const shrinking = {
      'merestone_spool_oldest_age_seconds{silo="north"}': '3500-10x59',
      'merestone_spool_batches{silo="north"}': '9000-60x59',
    };
    fires('nor while it is being emptied', { ...shrinking, [bytes]: '490000000+1000x59' }, [[59, []]]);
    fires(
      'nor while it is, however its use of them grows',
      { ...shrinking, [bytes]: '400000000+1000000x59' },
      [[59, []]],
    );
    fires('is no news at a start', { [bytes]: '0+1000000x59' }, [[59, []]]);
    fires(
      'and gives up batches: told at once, until it stops',
      { 'merestone_batches_dropped_total{silo="north"}': '0x10 0+5x10 50x60' },
      [
        [10, []],
        [14, [north('MerestoneSpoolFull', 'critical')]],
        [45, []],
      ],
    );
    fires(
      'and refuses what comes, as drop-newest has it: told until it has room',
      { 'merestone_quota_reached{silo="north",quota="spool-bytes"}': '0x10 1x60 0x60' },
      [
        [10, []],
        [13, [north('MerestoneSpoolFull', 'critical')]],
        [70, [north('MerestoneSpoolFull', 'critical')]],
        [75, []],
      ],
    );
  });

  describe('samples that are given up', () => {
    const quota = 'merestone_samples_dropped_total{tenant="acme",silo="north",reason="quota"}';
    const dropped = north('MerestoneSamplesDropped', 'warning', ',reason="quota"');
    fires('are told by reason', { [quota]: '7x10 7+100x10 1007x60' }, [
      [10, []],
      [14, [dropped]],
      [45, []],
    ]);
    fires('are told when it is the first one ever', { [quota]: '0x30 1x60' }, [
      [30, []],
      [34, [dropped]],
      [60, []],
    ]);
    fires('are no news from days ago', { [quota]: '77x180' }, [
      [2, []],
      [40, []],
    ]);
    it('are no news of a gateway that has run for long and is new here', async () => {
      const late = new Map(
        [...healthy].map(([key, values]) => [key, key.includes('gw-1') ? `_x30 ${values}` : values]),
      );
      await plays(changed(late, { [quota]: '_x30 77x100' }), [
        [34, []],
        [60, []],
      ]);
    });
    fires('are told when they were lost over a restart of the daemon', { [quota]: '0x10 _x2 5x100' }, [
      [12, []],
      [15, [dropped]],
    ]);
    fires(
      'and batches that are set aside',
      { 'merestone_batches_quarantined_total{silo="south"}': '2x10 3x120' },
      [
        [10, []],
        [14, [south('MerestoneBatchesQuarantined', 'warning')]],
        [90, []],
      ],
    );
  });

  describe('an uplink', () => {
    const online = 'merestone_uplink_online{silo="north"}';
    const connects = 'merestone_uplink_connects_total{silo="north"}';
    fires('that is offline is told after half an hour', { [online]: '1x10 0x100' }, [
      [40, []],
      [45, [north('MerestoneUplinkOffline', 'warning')]],
    ]);
    fires('that comes back in time is not', { [online]: '1x10 0x25 1x10 0x25 1x60' }, [
      [36, []],
      [72, []],
    ]);
    fires('that two gateways fight for is told', { [connects]: '2+10x180' }, [
      [12, []],
      [120, [north('MerestoneUplinkUnstable', 'warning')]],
    ]);
    fires(
      'that is lost every six minutes is not',
      { [connects]: '2x5 3x5 4x5 5x5 6x5 7x5 8x5 9x5 10x5 11x5' },
      [[59, []]],
    );
    fires(
      'whose broker refuses is told',
      { 'merestone_batches_refused_total{silo="north"}': '0x10 0+1x120' },
      [
        [20, []],
        [30, [north('MerestoneBrokerRefuses', 'warning')]],
      ],
    );
    fires(
      'whose broker refused once is not',
      { 'merestone_batches_refused_total{silo="north"}': '0x10 3x120' },
      [
        [12, []],
        [20, []],
        [27, []],
      ],
    );
    fires(
      'without a subscriber is told',
      { 'merestone_batches_no_subscribers_total{silo="north"}': '0x10 0+1x120' },
      [
        [20, []],
        [30, [north('MerestoneNoSubscribers', 'warning')]],
      ],
    );
  });

  describe('a silo', () => {
    const running = 'merestone_silo_running{tenant="acme",silo="north"}';
    const unnamed = 'merestone_silo_running{silo="north",tenant=""}';
    const restarts = 'merestone_silo_restarts_total{silo="north"}';

    it('whose certificate is refused is told to the tenant it had', async () => {
      const refused = changed(ended(healthy, 'silo="north"', 10), {
        [unnamed]: '_x10 0x100',
        // What is given up meanwhile is the same news.
        'merestone_samples_dropped_total{silo="north",tenant="",reason="no-identity"}': '_x10 0+60x100',
      });
      await plays(refused, [
        [13, []],
        [17, [north('MerestoneSiloDown', 'critical')]],
        [100, [north('MerestoneSiloDown', 'critical')]],
      ]);
    });
    it('that never had one is told without a tenant', async () => {
      const refused = changed(ended(healthy, 'silo="north"', 0), { [unnamed]: '0x100' });
      await plays(refused, [[10, ['MerestoneSiloDown{severity="critical",silo="north"}']]]);
    });
    it('that was taken out of the configuration is forgotten', async () => {
      await plays(ended(healthy, 'silo="north"', 10), [
        [20, []],
        [60, []],
      ]);
    });
    it('and is not missed when its gateway goes down later', async () => {
      const without = ended(healthy, 'silo="north"', 10);
      const down = changed(ended(without, 'gw-1', 100), { 'up{instance="gw-1"}': '1x99 0x80' });
      await plays(down, [
        [110, []],
        [130, [south('MerestoneGatewayNotScraped', 'warning')]],
      ]);
    });
    fires('that is back within minutes is no news', { [running]: '1x10 0x3 1x100' }, [[15, []]]);
    fires('that is down is told', { [running]: '1x10 0x100' }, [
      [20, [north('MerestoneSiloDown', 'critical')]],
    ]);
    fires(
      'that is left alone is told as that',
      { [running]: '1x10 0x100', 'merestone_silo_quarantined{silo="north"}': '0x10 1x100' },
      [[20, [north('MerestoneSiloQuarantined', 'critical')]]],
    );
    fires('that crashes in a loop is told', { [restarts]: '0x10 1x10 2x10 3x100' }, [
      [25, []],
      [40, [north('MerestoneSiloRestarting', 'warning')]],
      [110, []],
    ]);
    fires('that crashed once is not', { [restarts]: '0x10 1x100' }, [[20, []]]);
  });

  describe('a certificate', () => {
    const day = 86_400;
    /** A certificate by its lifetime, by the time left at the start, and by how many minutes it is in place. */
    const certificate = (lifeSeconds: number, leftSeconds: number, minutesLong = minutes): Change => ({
      [notBefore]: `${leftSeconds - lifeSeconds}x${minutesLong}`,
      [notAfter]: `${leftSeconds}x${minutesLong}`,
    });
    const notBefore = 'merestone_certificate_not_before_timestamp_seconds{silo="north"}';
    const notAfter = 'merestone_certificate_not_after_timestamp_seconds{silo="north"}';
    const ends = (severity: string): string => north('MerestoneCertificateEnds', severity);
    fires('is told in its last month', certificate(365 * day, 29 * day), [
      [10, []],
      [20, [ends('warning')]],
    ]);
    fires('and louder in its last week', certificate(365 * day, 6 * day), [
      [3, []],
      [10, [ends('critical')]],
    ]);
    fires('and after its end', certificate(365 * day, 600), [[65, [ends('critical')]]]);
    fires(
      'that has ended is not told as a broker out of reach as well',
      { ...certificate(365 * day, 600), 'merestone_uplink_online{silo="north"}': '1x10 0x100' },
      [[65, [ends('critical')]]],
    );
    fires('is not before', certificate(365 * day, 31 * day), [[65, []]]);
    fires('of ten years is told no sooner', certificate(3650 * day, 31 * day), [[65, []]]);
    it('is not told once it is renewed', async () => {
      const renewed = changed(healthy, {
        [notBefore]: `${-345 * day}x90 5400x90`,
        [notAfter]: `${20 * day}x90 ${365 * day}x90`,
      });
      await plays(renewed, [
        [85, [ends('warning')]],
        [95, []],
      ]);
    });
    fires('of 90 days is not told when its renewal is due', certificate(90 * day, 29 * day), [[65, []]]);
    fires('of 90 days is told in its last quarter', certificate(90 * day, 22 * day), [
      [20, [ends('warning')]],
    ]);
    const hourSeconds = 3600;
    fires('of a day is not told for most of it', certificate(day, 10 * hourSeconds), [
      [20, []],
      [180, []],
    ]);
    fires('of a day is told in its last six hours', certificate(day, 7 * hourSeconds), [
      [55, []],
      [80, [ends('warning')]],
    ]);
    fires('and louder in its last two', certificate(day, 3 * hourSeconds), [
      [30, [ends('warning')]],
      [45, [ends('critical')]],
      [180, [ends('critical')]],
    ]);
  });

  describe('the name in a certificate', () => {
    const twice = (instance: string, silo: string): string =>
      `merestone_gateway_info{instance="${instance}",tenant="acme",silo="${silo}",gateway="acme_gw-0001"}`;
    const told = (silo: string): string =>
      `MerestoneGatewayTwice{severity="warning",tenant="acme",silo="${silo}",gateway="acme_gw-0001"}`;
    fires('that two boxes have is told of both', { [twice('gw-2', 'copy')]: '_x10 1x100' }, [
      [20, []],
      [30, [told('north'), told('copy')]],
    ]);
    fires('that goes to another box is not', { [twice('gw-2', 'spare')]: '_x10 1x10 stale' }, [
      [22, []],
      [40, []],
    ]);
    it('that two tenants use is not', async () => {
      const other = twice('gw-2', 'copy').replace('"acme"', '"globex"');
      await plays(changed(healthy, { [other]: '1x100' }), [[60, []]]);
    });
  });

  describe('a clock', () => {
    const good = 'merestone_clock_good{silo="north"}';
    fires('that stays unknown is told', { [good]: '0x180' }, [
      [25, []],
      [35, [north('MerestoneClockNotGood', 'warning')]],
    ]);
    fires('that is set within minutes of booting is not', { [good]: '0x10 1x180' }, [[35, []]]);
  });

  describe('a quota', () => {
    const reached = (quota: string): string => `merestone_quota_reached{silo="north",quota="${quota}"}`;
    const told = (quota: string): string => north('MerestoneQuotaReached', 'warning', `,quota="${quota}"`);
    fires('that is reached for long is told', { [reached('bus-share')]: '0x10 1x170' }, [
      [40, []],
      [90, [told('bus-share')]],
    ]);
    fires('and when it is reached again and again', { [reached('cpu-share')]: `${'1x1 0x0 '.repeat(59)}1` }, [
      [110, [told('cpu-share')]],
    ]);
    fires('that is reached for a quarter of an hour is not', { [reached('cpu-share')]: '0x60 1x15 0x90' }, [
      [76, []],
      [100, []],
    ]);
    fires('whose effect has its own alert is not told twice', { [reached('samples-per-second')]: '1x180' }, [
      [150, []],
    ]);
  });

  describe('buses and devices', () => {
    const up = (device: string): string => `merestone_device_up{device="${device}"}`;
    const failures = (device: string, tenant: string, silo: string, kind = 'timeout'): string =>
      `merestone_device_failures_total{tenant="${tenant}",silo="${silo}",bus="rs485",device="${device}",kind="${kind}"}`;
    const meter = failures('main-meter', 'acme', 'north');
    const silent = north('MerestoneDeviceSilent', 'warning', ',bus="rs485",device="main-meter"');

    fires(
      'a lost bus is told once to each tenant, and its devices are not',
      {
        merestone_bus_open: '1x10 0x100',
        [up('main-meter')]: '1x10 0x100',
        [up('solar')]: '1x10 0x100',
        [meter]: '0x10 0+4x100',
      },
      [
        [15, []],
        [
          40,
          [
            north('MerestoneBusLost', 'warning', ',bus="rs485"'),
            south('MerestoneBusLost', 'warning', ',bus="rs485"'),
          ],
        ],
      ],
    );
    fires('a bus that is back within minutes is not', { merestone_bus_open: '1x10 0x5 1x100' }, [[17, []]]);
    fires('a silent device is told', { [up('main-meter')]: '1x10 0x100', [meter]: '_x10 1+4x100' }, [
      [20, []],
      [30, [silent]],
    ]);
    fires('one timeout of a device is not', { [up('main-meter')]: '1x10 0 1x100', [meter]: '0x10 1x100' }, [
      [12, []],
      [30, []],
    ]);
    fires(
      'nor one timeout of a device that is read once an hour',
      { [up('main-meter')]: '1x10 0x59 1x100', [meter]: '5x10 6x160' },
      [
        [30, []],
        [69, []],
        [100, []],
      ],
    );
    fires('but the second in a row is', { [up('main-meter')]: '1x10 0x160', [meter]: '5x10 6x59 7x100' }, [
      [69, []],
      [90, [silent]],
    ]);
    fires(
      'noise on a line is no failure of a device',
      {
        [up('main-meter')]: '1x10 0x59 1x100',
        [failures('main-meter', 'acme', 'north', 'noise')]: '0+9x170',
      },
      [[60, []]],
    );
    fires('a device with a bad register is not told', { [up('main-meter')]: '0.5x180', [meter]: '0+1x180' }, [
      [120, []],
    ]);
  });

  describe('what the gateway itself says', () => {
    const told = (verdict: string, kind: string, tenant = 'acme', silo = 'north'): string =>
      `merestone_findings{tenant="${tenant}",silo="${silo}",verdict="${verdict}",kind="${kind}"}`;

    fires(
      'is told once to each tenant that it concerns, for every kind of finding',
      {
        [told('failing', 'disk')]: '_x10 1x100',
        [told('failing', 'points')]: '_x10 3x100',
        [told('failing', 'bus-lost', 'globex', 'south')]: '_x10 1x40 stale',
      },
      [
        [20, []],
        [40, [north('MerestoneFailing', 'warning'), south('MerestoneFailing', 'warning')]],
        [80, [north('MerestoneFailing', 'warning')]],
      ],
    );
    fires('is not when it passes', { [told('failing', 'session')]: '_x10 1x10 stale' }, [[40, []]]);
    fires(
      'is told after hours where it only wants attention',
      { [told('degraded', 'late')]: '_x10 1x20 stale', [told('degraded', 'points')]: '_x25 2x150' },
      [
        [120, []],
        [140, [north('MerestoneDegraded', 'warning')]],
      ],
    );
    fires(
      'is not for the months of a certificate’s last third',
      { [told('degraded', 'certificate')]: '1x180' },
      [[170, []]],
    );
    it('is what it would say of these', async () => {
      const troubled = parseExposition(await metricsOf(troubledStatus(), Date.now()));
      const series = (name: string) => troubled.find((family) => family.name === name)!.series;
      assert.deepEqual(
        series('merestone_verdict').map(({ value }) => value),
        [2],
      );
      const found = series('merestone_findings').map(
        ({ labels: { tenant, silo, verdict, kind }, value }) =>
          `${tenant}/${silo} ${verdict} ${kind} ${value}`,
      );
      assert.deepEqual(found.sort(), [
        '/south degraded points 1',
        '/south failing silo-refused 1',
        'acme/north degraded certificate 1',
        'acme/north degraded clock 1',
        'acme/north degraded quarantined-batches 1',
        'acme/north degraded spool-full 1',
        'acme/north failing bus-lost 1',
        'acme/north failing device-silent 1',
        'acme/north failing session 1',
      ]);
    });
  });

  describe('a gateway', () => {
    const both = (alert: string): string[] => [north(alert, 'warning'), south(alert, 'warning')];
    const unheard = both('MerestoneGatewayNotScraped');
    const up = 'up{instance="gw-1"}';

    it('that is down is told to its tenants, for as long as it is', async () => {
      const day = await goodDay(27 * hour);
      await plays(changed(ended(day, 'gw-1', 10), { [up]: `1x9 0x${27 * hour}` }), [
        [20, []],
        [30, unheard],
        [26 * hour, unheard],
      ]);
    });
    it('that pushed and is not heard of is told for a day', async () => {
      await plays(ended(await goodDay(27 * hour), 'gw-1', 10), [
        [20, []],
        [30, unheard],
        [20 * hour, unheard],
        [26 * hour, []],
      ]);
    });
    it('that was never reached is told without a tenant', async () => {
      const none = ended(healthy, 'gw-1', 0);
      await plays(changed(none, { [up]: '0x180' }), [
        [30, ['MerestoneGatewayNotScraped{severity="warning"}']],
      ]);
    });
    fires('that misses a scrape or two is not told', { [up]: '1x10 0x2 1x100' }, [[13, []]]);
    fires(
      'that restarts in a loop is told',
      { process_start_time_seconds: '100x10 900x10 1500x10 2100x120' },
      [
        [25, []],
        [40, both('MerestoneGatewayRestarting')],
        [110, []],
      ],
    );
    fires('that was restarted once is not', { process_start_time_seconds: '100x10 900x120' }, [[20, []]]);
    it('less scrape configuration is told', async () => {
      await plays(new Map(), [
        [10, []],
        [20, ['MerestoneNothingScraped{severity="critical"}']],
      ]);
    });
  });

  it('has only alerts that fired in a test above', () => {
    const all = alerts.map(({ alert, labels }) => `${alert} ${labels!['severity']}`);
    assert.deepEqual([...seen].sort(), all.sort());
  });
});
