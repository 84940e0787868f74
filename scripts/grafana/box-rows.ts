import { lifetimeLeft, renewal, renewalStates, secondsLeft } from './certificate.ts';
import { fullness, yesNo } from './overview-row.ts';
import { bars, fine, graph, type Panel, plain, siloLegend, states, table } from './panel.ts';
import { ofSilo, onGateway } from './selectors.ts';

const bySilo = 'by (tenant, silo, instance)';
const quotaLegend = `{{quota}} · ${siloLegend}`;

export const quotaRow: { title: string; panels: Panel[] } = {
  title: 'Quotas',
  panels: [
    graph(
      {
        title: 'Use of each quota',
        description: 'Share of the limit. At 100 % the silo is held to it, and its neighbours are not.',
        w: 12,
        unit: 'percentunit',
        thresholds: [fine, { color: 'orange', value: 1 }],
      },
      {
        expr: `merestone_quota_used{${ofSilo}} / (merestone_quota_limit{${ofSilo}} > 0)`,
        legend: quotaLegend,
      },
    ),
    states(
      { title: 'Held to a quota', description: 'When the silo degraded by its own rules.', w: 12, h: 8 },
      { 0: { text: 'free', color: 'green' }, 1: { text: 'held', color: 'orange' } },
      { expr: `merestone_quota_reached{${ofSilo}}`, legend: quotaLegend },
    ),
  ],
};

export const isolateRow: { title: string; panels: Panel[] } = {
  title: 'Isolates',
  panels: [
    states(
      { title: 'Silos', description: 'Whether each takes samples.', w: 16 },
      {
        0: { text: 'down', color: 'red' },
        1: { text: 'running', color: 'green' },
        2: { text: 'left alone after crashes', color: 'purple' },
      },
      {
        expr: `max ${bySilo} (2 * merestone_silo_quarantined{${ofSilo}} > 0 or merestone_silo_running{${ofSilo}})`,
        legend: siloLegend,
      },
    ),
    table(
      { title: 'Walls', description: 'An isolate of the gateway, or a process of its own.', w: 8, h: 6 },
      { tenant: 'Tenant', silo: 'Silo', instance: 'Gateway', isolation: 'Isolation' },
      [
        {
          title: 'Restarts',
          expr:
            `sum by (tenant, silo, instance, isolation) (merestone_silo_isolation_info{${ofSilo}}` +
            ` * on (job, tenant, silo, instance) group_left merestone_silo_restarts_total{${ofSilo}})`,
          decimals: 0,
        },
      ],
    ),
    graph(
      {
        title: 'CPU',
        description: 'Share of one core over ten seconds; a silo can take a little more than one.',
        w: 8,
        unit: 'percentunit',
      },
      { expr: `max ${bySilo} (merestone_silo_cpu_share_ratio{${ofSilo}})`, legend: siloLegend },
    ),
    graph(
      {
        title: 'Memory and limit',
        description: 'JavaScript heap and buffers. A silo that reaches its limit is restarted alone.',
        w: 8,
        unit: 'decbytes',
        limits: '/^limit/',
      },
      { expr: `max ${bySilo} (merestone_silo_memory_bytes{${ofSilo}})`, legend: siloLegend },
      { expr: `max ${bySilo} (merestone_silo_memory_bytes_max{${ofSilo}})`, legend: `limit · ${siloLegend}` },
    ),
    bars(
      {
        title: 'Memory used',
        description: 'Share of memoryMax.',
        w: 8,
        unit: 'percentunit',
        max: 1,
        thresholds: fullness,
      },
      {
        expr: `max ${bySilo} (merestone_silo_memory_bytes{${ofSilo}} / merestone_silo_memory_bytes_max{${ofSilo}})`,
        legend: siloLegend,
      },
    ),
  ],
};

/** A figure of a silo's certificate, with the name in it. */
const certified = (figure: string): string =>
  `max by (tenant, silo, instance, gateway) (merestone_gateway_info{${ofSilo}}` +
  ` * on (job, tenant, silo, instance) group_left () (${figure}))`;

export const identityRow: { title: string; panels: Panel[] } = {
  title: 'Identity and clock',
  panels: [
    table(
      {
        title: 'Certificates',
        description:
          'Whom each names, and when it ends by the clock of Prometheus. Renewal: docs/identity.md. Two rows of one name: two boxes have one certificate.',
        w: 12,
      },
      { tenant: 'Tenant', silo: 'Silo', instance: 'Gateway', gateway: 'Certified as' },
      [
        { title: 'State', expr: certified(renewal), mapping: renewalStates },
        { title: 'Ends in', expr: certified(secondsLeft), unit: 's', thresholds: plain },
        {
          title: 'Life left',
          expr: certified(lifetimeLeft),
          unit: 'percentunit',
          decimals: 0,
          thresholds: plain,
        },
      ],
    ),
    states(
      {
        title: 'Clock',
        description:
          'Whether sample times can be trusted. A clock that is not known for long wants NTP or a battery.',
        w: 12,
        h: 8,
      },
      { 0: { text: 'not known', color: 'orange' }, 1: { text: 'good', color: 'green' } },
      { expr: `min ${bySilo} (merestone_clock_good{${ofSilo}})`, legend: siloLegend },
    ),
  ],
};

export const gatewayRow: { title: string; panels: Panel[] } = {
  title: 'Gateways',
  panels: [
    table(
      { title: 'Versions', description: 'Which version runs where, and for how long.', w: 8 },
      { instance: 'Gateway', version: 'Version' },
      [
        {
          title: 'Scraped',
          expr: `sum by (instance, version) (merestone_build_info{${onGateway}})`,
          mapping: yesNo,
        },
        {
          title: 'Up for',
          expr:
            `sum by (instance, version) (merestone_build_info{${onGateway}}` +
            ` * on (job, instance) group_left merestone_uptime_seconds{${onGateway}})`,
          unit: 's',
          thresholds: plain,
        },
      ],
    ),
    graph(
      {
        title: 'Memory',
        description:
          'Resident, of the daemon with all its isolates. Silos that are processes of their own are not in it.',
        w: 8,
        unit: 'decbytes',
      },
      { expr: `process_resident_memory_bytes{job="merestone", ${onGateway}}`, legend: '{{instance}}' },
    ),
    graph(
      {
        title: 'CPU',
        description: 'Cores that the daemon uses, with all its isolates.',
        w: 8,
        unit: 'percentunit',
      },
      {
        expr: `rate(process_cpu_seconds_total{job="merestone", ${onGateway}}[$__rate_interval])`,
        legend: '{{instance}}',
      },
    ),
  ],
};
