import { fullness, lateness } from './overview-row.ts';
import { fine, graph, type Panel, plain, siloLegend, states, table } from './panel.ts';
import { ofDevice, ofSilo } from './selectors.ts';

const bySilo = 'by (tenant, silo, instance)';
const rate = (metric: string, selector = ofSilo): string => `rate(${metric}{${selector}}[$__rate_interval])`;
const increase = (metric: string): string => `increase(${metric}{${ofSilo}}[$__rate_interval])`;
const untilFull =
  `(merestone_spool_bytes_max{${ofSilo}} - merestone_spool_bytes_in_use{${ofSilo}})` +
  ` / (deriv(merestone_spool_bytes_in_use{${ofSilo}}[1h]) > 0)`;

export const throughputRow: { title: string; panels: Panel[] } = {
  title: 'Throughput',
  panels: [
    graph(
      {
        title: 'Samples a second',
        description:
          'From the devices to the broker. What is read and not taken in was given up on the way; what is stored and not acknowledged waits in the spool.',
        w: 12,
        unit: 'cps',
      },
      { expr: `sum(${rate('merestone_device_samples_total', ofDevice)})`, legend: 'read from devices' },
      { expr: `sum(${rate('merestone_samples_received_total')})`, legend: 'taken in by silos' },
      { expr: `sum(${rate('merestone_samples_stored_total')})`, legend: 'stored' },
      { expr: `sum(${rate('merestone_samples_published_total')})`, legend: 'acknowledged by the broker' },
    ),
    graph(
      {
        title: 'Stored, by silo',
        description: 'Samples that are safe on disk, a second.',
        w: 12,
        unit: 'cps',
      },
      { expr: `sum ${bySilo} (${rate('merestone_samples_stored_total')})`, legend: siloLegend },
    ),
    graph(
      {
        title: 'Batches a second',
        description:
          'Published counts repetitions. Where the lines part, the broker does not take what it gets, or sessions end before the answer.',
        w: 12,
        unit: 'cps',
      },
      { expr: `sum(${rate('merestone_batches_published_total')})`, legend: 'published' },
      { expr: `sum(${rate('merestone_batches_accepted_total')})`, legend: 'acknowledged' },
    ),
    graph(
      {
        title: 'Samples given up, by reason',
        description:
          'Since the silo started; a reason shows once it was one. quota: over samples-per-second; cpu-quota: over cpu-share; overrun: the silo did not keep up; crash: in hand when it crashed; restart: at a change of its configuration; no-identity: no valid certificate.',
        w: 12,
        unit: 'short',
        steps: true,
      },
      {
        expr: `sum by (tenant, silo, instance, reason) (merestone_samples_dropped_total{${ofSilo}}) > 0`,
        legend: `{{reason}} · ${siloLegend}`,
      },
    ),
  ],
};

export const spoolRow: { title: string; panels: Panel[] } = {
  title: 'Spool',
  panels: [
    table(
      {
        title: 'Spools now',
        description: 'Full in: at the rate of the last hour; empty where it does not grow.',
        w: 24,
        h: 7,
      },
      { tenant: 'Tenant', silo: 'Silo', instance: 'Gateway' },
      [
        {
          title: 'Used',
          expr: `max ${bySilo} (merestone_spool_bytes_in_use{${ofSilo}} / merestone_spool_bytes_max{${ofSilo}})`,
          unit: 'percentunit',
          decimals: 0,
          thresholds: fullness,
        },
        { title: 'Limit', expr: `max ${bySilo} (merestone_spool_bytes_max{${ofSilo}})`, unit: 'decbytes' },
        { title: 'Batches', expr: `max ${bySilo} (merestone_spool_batches{${ofSilo}})` },
        { title: 'Samples', expr: `max ${bySilo} (merestone_spool_samples{${ofSilo}})` },
        {
          title: 'Oldest',
          expr: `max ${bySilo} (merestone_spool_oldest_age_seconds{${ofSilo}})`,
          unit: 's',
          thresholds: lateness,
        },
        { title: 'Events', expr: `max ${bySilo} (merestone_spool_events{${ofSilo}})`, thresholds: plain },
        {
          title: 'Full in',
          expr: `min ${bySilo} (${untilFull})`,
          unit: 's',
          thresholds: [
            { color: 'red', value: null },
            { color: 'orange', value: 14_400 },
            { color: 'green', value: 86_400 },
          ],
        },
      ],
    ),
    graph(
      {
        title: 'Use and limit',
        description:
          'What is in use, spool.bytesMax, and its files on disk, which do not shrink when it empties.',
        w: 12,
        unit: 'decbytes',
        limits: '/^limit/',
      },
      { expr: `max ${bySilo} (merestone_spool_bytes_in_use{${ofSilo}})`, legend: siloLegend },
      { expr: `max ${bySilo} (merestone_spool_bytes{${ofSilo}})`, legend: `files · ${siloLegend}` },
      { expr: `max ${bySilo} (merestone_spool_bytes_max{${ofSilo}})`, legend: `limit · ${siloLegend}` },
    ),
    graph(
      {
        title: 'Oldest batch',
        description:
          'How long the oldest batch has waited. It grows while nothing leaves and falls as a backlog is worked off.',
        w: 12,
        unit: 's',
        thresholds: lateness,
      },
      { expr: `max ${bySilo} (merestone_spool_oldest_age_seconds{${ofSilo}})`, legend: siloLegend },
    ),
    graph(
      { title: 'Batches waiting', description: 'Stored and not yet acknowledged.', w: 8, unit: 'short' },
      { expr: `max ${bySilo} (merestone_spool_batches{${ofSilo}})`, legend: siloLegend },
    ),
    graph(
      {
        title: 'Batches lost or set aside',
        description:
          'Given up: the spool was full. Set aside: refused again and again, or damaged on disk; merestone spool export has the refused ones.',
        w: 8,
        unit: 'short',
      },
      {
        expr: `sum ${bySilo} (${increase('merestone_batches_dropped_total')})`,
        legend: `given up · ${siloLegend}`,
      },
      {
        expr: `sum ${bySilo} (${increase('merestone_batches_quarantined_total')})`,
        legend: `set aside · ${siloLegend}`,
      },
    ),
    graph(
      {
        title: 'Written to disk',
        description: 'What the card wears by; docs/spool.md tells how long one lasts at which rate.',
        w: 8,
        unit: 'Bps',
      },
      { expr: `sum ${bySilo} (${rate('merestone_spool_bytes_written_total')})`, legend: siloLegend },
    ),
  ],
};

export const uplinkRow: { title: string; panels: Panel[] } = {
  title: 'Uplink',
  panels: [
    states(
      { title: 'Sessions', description: 'Whether batches can leave.', w: 24 },
      { 0: { text: 'offline', color: 'red' }, 1: { text: 'online', color: 'green' } },
      { expr: `max ${bySilo} (merestone_uplink_online{${ofSilo}})`, legend: siloLegend },
    ),
    graph(
      {
        title: 'Round trip',
        description: 'From PUBLISH to PUBACK, smoothed. On MQTT 3.1.1 it includes the wait for a canary.',
        w: 8,
        unit: 's',
      },
      { expr: `max ${bySilo} (merestone_uplink_round_trip_seconds{${ofSilo}})`, legend: siloLegend },
    ),
    graph(
      {
        title: 'Bytes sent',
        description: 'All that MQTT sends, without what TLS adds.',
        w: 8,
        unit: 'Bps',
      },
      { expr: `sum ${bySilo} (${rate('merestone_uplink_bytes_sent_total')})`, legend: siloLegend },
    ),
    graph(
      { title: 'In flight', description: 'Publishes that wait for an answer.', w: 8, unit: 'short' },
      { expr: `max ${bySilo} (merestone_uplink_inflight_batches{${ofSilo}})`, legend: siloLegend },
    ),
    graph(
      {
        title: 'Connections within an hour',
        description: 'Every few seconds one: two gateways with one certificate, or a broker that hangs up.',
        w: 12,
        unit: 'short',
        thresholds: [fine, { color: 'orange', value: 20 }],
      },
      {
        expr: `sum ${bySilo} (increase(merestone_uplink_connects_total{${ofSilo}}[1h]))`,
        legend: siloLegend,
      },
    ),
    graph(
      {
        title: 'Not taken by the broker',
        description: 'Batches that it refused, or that nobody was subscribed to. They stay in the spool.',
        w: 12,
        unit: 'short',
      },
      {
        expr: `sum ${bySilo} (${increase('merestone_batches_refused_total')})`,
        legend: `refused · ${siloLegend}`,
      },
      {
        expr: `sum ${bySilo} (${increase('merestone_batches_no_subscribers_total')})`,
        legend: `no subscribers · ${siloLegend}`,
      },
    ),
  ],
};
