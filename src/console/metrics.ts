import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { BusStatus, DeviceStatus, GatewayStatus, SiloStatus } from '../reading/status.ts';

/** https://prometheus.io/docs/instrumenting/exposition_formats/ */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

/** Kinds and reasons come from our own code and are few; more than this would be somebody else's text. */
const kindsMax = 32;

type Labels = Record<string, string>;
type Put = (labels: Labels, value: number | null) => void;

const processRegistry = new Registry();
collectDefaultMetrics({ register: processRegistry });

/**
 * Prometheus text. The registry is made anew from the status at each scrape, so that a device or silo that is
 * gone leaves no series behind, and the number of series is bounded by the configuration.
 */
export async function metricsOf(status: GatewayStatus, nowMs: number): Promise<string> {
  const registry = new Registry();
  const gauge = (name: string, help: string): Put => {
    let metric: Gauge | undefined;
    return (labels, value) => {
      if (value === null) return;
      metric ??= new Gauge({
        name: `merestone_${name}`,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
      });
      metric.set(labels, value);
    };
  };
  const counter = (name: string, help: string): Put => {
    let metric: Counter | undefined;
    return (labels, value) => {
      if (value === null) return;
      metric ??= new Counter({
        name: `merestone_${name}_total`,
        help,
        labelNames: Object.keys(labels),
        registers: [registry],
      });
      metric.inc(labels, value);
    };
  };
  gauge('build_info', 'Always 1; the label says which version runs')({ version: status.version }, 1);
  gauge('uptime_seconds', 'Since the daemon started')({}, status.uptimeMs / 1000);
  putSilos(status.silos, nowMs, gauge, counter);
  putBuses(
    status.buses,
    new Map(status.silos.map(({ name, tenant }) => [name, tenant ?? ''])),
    gauge,
    counter,
  );
  return (await registry.metrics()) + (await processRegistry.metrics());
}

type Define = (name: string, help: string) => Put;

function putSilos(silos: readonly SiloStatus[], nowMs: number, gauge: Define, counter: Define): void {
  const running = gauge('silo_running', '1 where the silo takes samples');
  const restarts = counter('silo_restarts', 'Times that the silo came back after a crash');
  const received = counter('samples_received', 'Samples that the silo took in');
  const stored = counter('samples_stored', 'Samples safe on disk');
  const published = counter('samples_published', 'Samples that the broker accepted');
  const dropped = counter('samples_dropped', 'Samples given up, by reason');
  const notAfter = gauge('certificate_not_after_timestamp_seconds', 'End of the device certificate');
  const daysLeft = gauge('certificate_days_left', 'Days until the end of the device certificate');
  const clockGood = gauge('clock_good', '1 where sample times can be trusted');
  for (const silo of silos) {
    const labels = { tenant: silo.tenant ?? '', silo: silo.name };
    running(labels, silo.state === 'running' ? 1 : 0);
    restarts(labels, silo.restarts);
    received(labels, silo.samples.received);
    stored(labels, silo.samples.stored);
    published(labels, silo.samples.published);
    for (const [reason, count] of few(silo.samples.dropped)) dropped({ ...labels, reason }, count);
    clockGood(labels, silo.clock === 'good' ? 1 : 0);
    if (silo.identity === null) continue;
    notAfter(labels, silo.identity.notAfter / 1000);
    daysLeft(labels, (silo.identity.notAfter - nowMs) / 86_400_000);
  }
  putIsolates(silos, gauge);
  putQuotas(silos, gauge);
  putUplinks(silos, gauge, counter);
  putSpools(silos, gauge, counter);
}

function putIsolates(silos: readonly SiloStatus[], gauge: Define): void {
  const isolation = gauge('silo_isolation_info', 'Always 1; the label says which wall is around the silo');
  const quarantined = gauge('silo_quarantined', '1 where the silo crashed too often and is left alone');
  const cpuShare = gauge(
    'silo_cpu_share_ratio',
    'Share of one core that its isolate took over the last 10 s',
  );
  const memory = gauge('silo_memory_bytes', 'Memory of its isolate: heap and buffers');
  const memoryMax = gauge('silo_memory_bytes_max', 'What its isolate may have');
  for (const { tenant, name, state, isolation: wall, usage } of silos) {
    const labels = { tenant: tenant ?? '', silo: name };
    isolation({ ...labels, isolation: wall }, 1);
    quarantined(labels, state === 'quarantined' ? 1 : 0);
    if (usage === null) continue;
    cpuShare(labels, usage.cpuShare);
    memory(labels, usage.memoryBytes);
    memoryMax(labels, usage.memoryBytesMax);
  }
}

function putQuotas(silos: readonly SiloStatus[], gauge: Define): void {
  const limit = gauge('quota_limit', 'What the silo may use, in the unit that the quota has in its name');
  const used = gauge('quota_used', 'What it uses of it');
  const reached = gauge('quota_reached', '1 where the silo is held to it now');
  for (const { tenant, name, quotas } of silos) {
    for (const { quota, state, ...figures } of quotas.slice(0, kindsMax)) {
      const labels = { tenant: tenant ?? '', silo: name, quota };
      limit(labels, figures.limit);
      used(labels, figures.used);
      reached(labels, state === 'reached' ? 1 : 0);
    }
  }
}

function putUplinks(silos: readonly SiloStatus[], gauge: Define, counter: Define): void {
  const online = gauge('uplink_online', '1 where batches can leave');
  const connects = counter('uplink_connects', 'Connections made to the broker');
  const published = counter('batches_published', 'Batches sent, repetitions included');
  const accepted = counter('batches_accepted', 'Batches that the broker truly took');
  const refused = counter('batches_refused', 'Batches that the broker refused');
  const noSubscribers = counter('batches_no_subscribers', 'Batches that nobody was subscribed to');
  const inflight = gauge('uplink_inflight_batches', 'Batches sent and not yet answered');
  const roundTrip = gauge('uplink_round_trip_seconds', 'Smoothed time from PUBLISH to PUBACK');
  const bytesSent = counter('uplink_bytes_sent', 'Payload bytes sent');
  for (const { tenant, name, uplink } of silos) {
    if (uplink === null) continue;
    const labels = { tenant: tenant ?? '', silo: name };
    online(labels, uplink.state === 'online' ? 1 : 0);
    connects(labels, uplink.connects);
    published(labels, uplink.batches.published);
    accepted(labels, uplink.batches.accepted);
    refused(labels, uplink.batches.refused);
    noSubscribers(labels, uplink.batches.noSubscribers);
    inflight(labels, uplink.inflight);
    roundTrip(labels, inSeconds(uplink.roundTripMs));
    bytesSent(labels, uplink.bytesSent);
  }
}

function putSpools(silos: readonly SiloStatus[], gauge: Define, counter: Define): void {
  const bytes = gauge('spool_bytes', 'Size of the spool on disk');
  const bytesInUse = gauge('spool_bytes_in_use', 'What of it is in use: at its maximum data is given up');
  const bytesMax = gauge('spool_bytes_max', 'What the spool may take');
  const batches = gauge('spool_batches', 'Batches waiting');
  const samples = gauge('spool_samples', 'Samples waiting');
  const age = gauge('spool_oldest_age_seconds', 'Age of the oldest batch waiting; 0 where none waits');
  const quarantined = counter('batches_quarantined', 'Batches set aside');
  const dropped = counter('batches_dropped', 'Batches given up by policy');
  const events = gauge('spool_events', 'Events waiting');
  const written = counter('spool_bytes_written', 'Bytes written to disk: what an SD card wears by');
  for (const { tenant, name, spool } of silos) {
    if (spool === null) continue;
    const labels = { tenant: tenant ?? '', silo: name };
    bytes(labels, spool.bytes);
    bytesInUse(labels, spool.bytesInUse);
    bytesMax(labels, spool.bytesMax);
    batches(labels, spool.batches);
    samples(labels, spool.samples);
    age(labels, (spool.oldestAgeMs ?? 0) / 1000);
    quarantined(labels, spool.quarantined);
    dropped(labels, spool.dropped);
    events(labels, spool.events);
    written(labels, spool.bytesWritten);
  }
}

function putBuses(
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

function defineDevice(gauge: Define, counter: Define): (labels: Labels, device: DeviceStatus) => void {
  const up = gauge('device_up', '1 where the last poll gave every point, 0.5 where it gave some');
  const samples = counter('device_samples', 'Samples taken');
  const requests = counter('device_requests', 'Requests sent');
  const failures = counter('device_failures', 'Requests that failed, by kind');
  const lastSample = gauge('device_last_sample_timestamp_seconds', 'When the last sample was taken');
  const answer = gauge('device_answer_seconds', 'Smoothed time from request to answer');
  const lateness = gauge(
    'device_lateness_seconds',
    'Worst lateness behind its interval over the last minute',
  );
  const busShare = gauge('device_bus_share_ratio', 'Share of bus time over the last minute');
  return (labels, device) => {
    up(labels, device.state === 'good' ? 1 : device.state === 'partial' ? 0.5 : 0);
    samples(labels, device.samples);
    requests(labels, device.requests);
    for (const [kind, count] of few(device.failures)) failures({ ...labels, kind }, count);
    lastSample(labels, inSeconds(device.lastSampleAt));
    answer(labels, inSeconds(device.answerMs));
    lateness(labels, device.latenessMs / 1000);
    busShare(labels, device.busShare);
  };
}

function inSeconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}

function few(counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).slice(0, kindsMax);
}
