import type { BusStatus, DeviceStatus } from '../status/status.ts';
import { type Define, few, inSeconds, type Labels } from './metric-family.ts';

/** A bus has no tenant; its devices, and a silo's share of the bus, have the silo's `tenant` label. */
export function putBuses(
  buses: readonly BusStatus[],
  tenantOf: ReadonlyMap<string, string>,
  gauge: Define,
  counter: Define,
): void {
  const open = gauge('bus_open', '1 where bytes can flow');
  const load = gauge('bus_load_ratio', 'Share of time that the line was busy over the last minute');
  const siloShare = gauge(
    'bus_silo_share_ratio',
    "Share of bus time that the silo's devices took over the last minute",
  );
  const siloShareMax = gauge(
    'bus_silo_share_ratio_max',
    'What they may take; absent where nothing limits it',
  );
  const held = gauge('bus_silo_held', '1 while they wait because the share is used up');
  const device = defineDevice(gauge, counter);
  for (const bus of buses) {
    const labels = { bus: bus.name, kind: bus.kind };
    open(labels, bus.state === 'open' ? 1 : 0);
    load(labels, bus.load);
    for (const { silo, ...each } of bus.silos) {
      const own = { tenant: tenantOf.get(silo) ?? '', silo, bus: bus.name };
      siloShare(own, each.busShare);
      siloShareMax(own, each.busShareMax);
      held(own, each.held ? 1 : 0);
    }
    for (const each of bus.devices) {
      const tenant = tenantOf.get(each.silo) ?? '';
      device({ tenant, silo: each.silo, bus: bus.name, device: each.name }, each);
    }
  }
}

function upness({ state, points }: DeviceStatus): number {
  if (state === 'good') return 1;
  return state === 'partial' && points.valued > 0 ? 0.5 : 0;
}

function defineDevice(gauge: Define, counter: Define): (labels: Labels, device: DeviceStatus) => void {
  const up = gauge(
    'device_up',
    '1 where every point has a value, 0.5 where some have none or an implausible one, 0 where none has',
  );
  const samples = counter(
    'device_samples',
    'Samples given to the silo, without those that only say why there is no value',
  );
  const requests = counter('device_requests', 'Requests sent');
  const failures = counter('device_failures', 'Requests that failed, by kind');
  const lastSample = gauge('device_last_sample_timestamp_seconds', 'When the device last gave a value');
  const answer = gauge('device_answer_seconds', 'Smoothed time from request to answer');
  const lateness = gauge(
    'device_lateness_seconds',
    'Worst lateness behind its interval over the last minute',
  );
  const busShare = gauge('device_bus_share_ratio', 'Share of bus time over the last minute');
  return (labels, device) => {
    up(labels, upness(device));
    samples(labels, device.samples);
    requests(labels, device.requests);
    for (const [kind, count] of few(device.failures)) failures({ ...labels, kind }, count);
    lastSample(labels, inSeconds(device.lastSampleAt));
    answer(labels, inSeconds(device.answerMs));
    lateness(labels, device.latenessMs / 1000);
    busShare(labels, device.busShare);
  };
}
