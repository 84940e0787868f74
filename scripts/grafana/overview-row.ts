import { renewal, renewalStates } from './certificate.ts';
import { fine, type Panel, plain, stat, table, type Mapping, type Threshold } from './panel.ts';
import { ofBus, ofDevice, ofSilo, onGateway } from './selectors.ts';

export const fullness: Threshold[] = [fine, { color: 'orange', value: 0.7 }, { color: 'red', value: 0.9 }];
export const lateness: Threshold[] = [fine, { color: 'orange', value: 900 }, { color: 'red', value: 3600 }];
export const yesNo: Mapping = { 0: { text: 'no', color: 'red' }, 1: { text: 'yes', color: 'green' } };

const lost = (by: string): string =>
  `sum${by}(increase(merestone_samples_dropped_total{${ofSilo}}[$__range]))`;

const bySilo = ' by (tenant, silo, instance) ';

/** Whether anything is wrong, at one look. */
export const overviewRow: { title: string; panels: Panel[] } = {
  title: 'Is anything wrong?',
  panels: [
    stat(
      {
        title: 'Gateways failing',
        description: 'By their own verdict, as on their page: data of a device or a tenant goes nowhere.',
        w: 12,
      },
      `count(merestone_verdict{${onGateway}} == 2) or vector(0)`,
    ),
    stat(
      {
        title: 'Gateways degraded',
        description: 'By their own verdict: they work, and something wants attention.',
        w: 12,
        thresholds: [fine, { color: 'orange', value: 1 }],
      },
      `count(merestone_verdict{${onGateway}} == 1) or vector(0)`,
    ),
    stat(
      { title: 'Alerts firing', description: 'Of the rules in config/prometheus-alerts.yaml.', w: 3 },
      `count(ALERTS{alertname=~"Merestone.*", alertstate="firing", ${ofSilo}}) or vector(0)`,
    ),
    stat(
      { title: 'Gateways not scraped', description: 'Off, not to be reached, or the daemon is down.', w: 3 },
      `count(up{job="merestone", ${onGateway}} == 0) or vector(0)`,
    ),
    stat(
      {
        title: 'Silos down',
        description: 'They take no samples: no valid certificate, crashed, or left alone after many crashes.',
        w: 3,
      },
      `count(merestone_silo_running{${ofSilo}} == 0) or vector(0)`,
    ),
    stat(
      { title: 'Uplinks offline', description: 'No session with the broker now. Data waits on disk.', w: 3 },
      `count(merestone_uplink_online{${ofSilo}} == 0) or vector(0)`,
    ),
    stat(
      {
        title: 'Oldest batch',
        description: 'How long the oldest batch in any spool has waited.',
        w: 3,
        unit: 's',
        thresholds: lateness,
      },
      `max(merestone_spool_oldest_age_seconds{${ofSilo}})`,
    ),
    stat(
      {
        title: 'Samples given up',
        description:
          'Within the time shown: quotas, overruns, crashes, no certificate. Batches: see the spool.',
        w: 3,
        decimals: 0,
      },
      `${lost('')} or vector(0)`,
    ),
    stat(
      {
        title: 'Devices silent',
        description: 'They give no value. A single timeout counts until the next poll.',
        w: 3,
        thresholds: [fine, { color: 'orange', value: 1 }],
      },
      `count(merestone_device_up{${ofDevice}} == 0) or vector(0)`,
    ),
    stat(
      {
        title: 'Buses lost',
        description: 'Adapters that are gone, endpoints that are not to be reached.',
        w: 3,
      },
      `count(merestone_bus_open{${ofBus}} == 0) or vector(0)`,
    ),
    table(
      {
        title: 'What is wrong',
        description: 'What gateways say of themselves; their page and merestone status say what to do.',
        w: 24,
        h: 6,
      },
      { tenant: 'Tenant', silo: 'Silo', instance: 'Gateway', verdict: 'Verdict', kind: 'What' },
      [
        {
          title: 'Times',
          expr: `sum by (tenant, silo, instance, verdict, kind) (merestone_findings{${ofSilo}})`,
          decimals: 0,
          thresholds: plain,
        },
      ],
    ),
    table(
      {
        title: 'Tenants',
        description: 'A line for each silo; samples given up within the time shown.',
        w: 24,
        h: 9,
      },
      { tenant: 'Tenant', silo: 'Silo', instance: 'Gateway' },
      [
        { title: 'Running', expr: `max${bySilo}(merestone_silo_running{${ofSilo}})`, mapping: yesNo },
        { title: 'Online', expr: `max${bySilo}(merestone_uplink_online{${ofSilo}})`, mapping: yesNo },
        {
          title: 'Oldest batch',
          expr: `max${bySilo}(merestone_spool_oldest_age_seconds{${ofSilo}})`,
          unit: 's',
          thresholds: lateness,
        },
        {
          title: 'Spool used',
          expr: `max${bySilo}(merestone_spool_bytes_in_use{${ofSilo}} / merestone_spool_bytes_max{${ofSilo}})`,
          unit: 'percentunit',
          decimals: 0,
          thresholds: fullness,
        },
        {
          title: 'Given up',
          expr: lost(bySilo),
          decimals: 0,
          thresholds: [fine, { color: 'red', value: 1 }],
        },
        {
          title: 'Devices answering',
          expr: `avg${bySilo}(merestone_device_up{${ofDevice}} > bool 0)`,
          unit: 'percentunit',
          decimals: 0,
          thresholds: [
            { color: 'orange', value: null },
            { color: 'green', value: 1 },
          ],
        },
        {
          title: 'Quotas reached',
          expr: `sum${bySilo}(merestone_quota_reached{${ofSilo}})`,
          thresholds: [fine, { color: 'orange', value: 1 }],
        },
        {
          title: 'Certificate',
          expr: `max${bySilo}(${renewal})`,
          mapping: renewalStates,
        },
        {
          title: 'Samples/s',
          expr: `sum${bySilo}(rate(merestone_samples_stored_total{${ofSilo}}[5m]))`,
          decimals: 1,
          thresholds: plain,
        },
      ],
    ),
  ],
};
