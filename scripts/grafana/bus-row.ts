import { fine, graph, type Panel, siloLegend, states, table } from './panel.ts';
import { ofBus, ofDevice } from './selectors.ts';

const byDevice = 'by (tenant, silo, instance, bus, device)';
const deviceLegend = '{{device}} · {{bus}} · {{instance}}';
const busLegend = '{{bus}} · {{instance}}';

export const busRow: { title: string; panels: Panel[] } = {
  title: 'Buses and devices',
  panels: [
    states(
      { title: 'Buses', description: 'Whether bytes can flow.', w: 12 },
      { 0: { text: 'lost', color: 'red' }, 1: { text: 'open', color: 'green' } },
      { expr: `max by (instance, bus) (merestone_bus_open{${ofBus}})`, legend: busLegend },
    ),
    graph(
      {
        title: 'Load',
        description:
          'Share of time that the line is busy. Above 80 % devices are read late; above 100 %: what is asked of it.',
        w: 12,
        h: 6,
        unit: 'percentunit',
        thresholds: [fine, { color: 'orange', value: 0.8 }],
      },
      { expr: `max by (instance, bus) (merestone_bus_load_ratio{${ofBus}})`, legend: busLegend },
    ),
    graph(
      {
        title: 'Bus time of each tenant, and its limit',
        description: 'Share of the bus that the devices of a silo take, and may take.',
        w: 12,
        unit: 'percentunit',
        max: 1,
        limits: '/^limit/',
      },
      { expr: `merestone_bus_silo_share_ratio{${ofDevice}}`, legend: `{{bus}} · ${siloLegend}` },
      { expr: `merestone_bus_silo_share_ratio_max{${ofDevice}}`, legend: `limit · {{bus}} · ${siloLegend}` },
    ),
    states(
      {
        title: 'Held on a bus',
        description: 'When devices waited because their share was used up.',
        w: 12,
        h: 8,
      },
      { 0: { text: 'free', color: 'green' }, 1: { text: 'held', color: 'orange' } },
      { expr: `merestone_bus_silo_held{${ofDevice}}`, legend: `{{bus}} · ${siloLegend}` },
    ),
    table(
      {
        title: 'Devices',
        description:
          'Last value: when it came. Bus time: share of the bus that the device takes. Failures: requests that failed within an hour.',
        w: 24,
        h: 10,
      },
      { tenant: 'Tenant', silo: 'Silo', instance: 'Gateway', bus: 'Bus', device: 'Device' },
      [
        {
          title: 'State',
          expr: `max ${byDevice} (merestone_device_up{${ofDevice}})`,
          mapping: {
            0: { text: 'silent', color: 'red' },
            0.5: { text: 'incomplete', color: 'orange' },
            1: { text: 'good', color: 'green' },
          },
        },
        {
          title: 'Last value',
          expr: `max ${byDevice} (merestone_device_last_sample_timestamp_seconds{${ofDevice}}) * 1000`,
          unit: 'dateTimeFromNow',
        },
        {
          title: 'Answer',
          expr: `max ${byDevice} (merestone_device_answer_seconds{${ofDevice}})`,
          unit: 's',
        },
        {
          title: 'Late',
          expr: `max ${byDevice} (merestone_device_lateness_seconds{${ofDevice}})`,
          unit: 's',
        },
        {
          title: 'Bus time',
          expr: `max ${byDevice} (merestone_device_bus_share_ratio{${ofDevice}})`,
          unit: 'percentunit',
          decimals: 1,
        },
        {
          title: 'Requests/s',
          expr: `sum ${byDevice} (rate(merestone_device_requests_total{${ofDevice}}[5m]))`,
          decimals: 1,
        },
        {
          title: 'Failures',
          expr: `sum ${byDevice} (increase(merestone_device_failures_total{${ofDevice}}[1h]))`,
          decimals: 0,
        },
      ],
    ),
    graph(
      {
        title: 'Lateness',
        description: 'Worst over the last minute, behind the interval that was asked for.',
        w: 12,
        unit: 's',
      },
      { expr: `max ${byDevice} (merestone_device_lateness_seconds{${ofDevice}})`, legend: deviceLegend },
    ),
    graph(
      {
        title: 'Failures a second, by kind',
        description: 'Kinds: timeout is no answer, crc a damaged one, exception a refusal.',
        w: 12,
        unit: 'cps',
      },
      {
        expr: `sum by (instance, bus, device, kind) (rate(merestone_device_failures_total{${ofDevice}}[$__rate_interval]))`,
        legend: `{{kind}} · ${deviceLegend}`,
      },
    ),
  ],
};
