import { lossReasons } from '../reading/loss.ts';
import type { SiloStatus } from '../status/status.ts';
import { type Define, few, inSeconds, kindsMax } from './metric-family.ts';

/** Prometheus needs a first value to see an increase: a counter that began at its first loss would hide that loss. */
const noLosses = Object.fromEntries(lossReasons.map((reason) => [reason, 0]));

/** What a silo is, does and has. */
export function putSilos(silos: readonly SiloStatus[], nowMs: number, gauge: Define, counter: Define): void {
  const running = gauge('silo_running', '1 where the silo takes samples');
  const restarts = counter('silo_restarts', 'Times that the silo came back after a crash');
  const received = counter(
    'samples_received',
    'Samples that came to the silo, those that it then gave up included',
  );
  const stored = counter('samples_stored', 'Samples safe on disk');
  const published = counter('samples_published', 'Samples that the broker accepted');
  const dropped = counter('samples_dropped', 'Samples given up before they were stored, by reason');
  const gateway = gauge('gateway_info', "Always 1; the label is the gateway's name in its certificate");
  const notBefore = gauge('certificate_not_before_timestamp_seconds', 'Beginning of the device certificate');
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
    for (const [reason, count] of few({ ...noLosses, ...silo.samples.dropped }))
      dropped({ ...labels, reason }, count);
    clockGood(labels, silo.clock === 'good' ? 1 : 0);
    if (silo.gateway !== null) gateway({ ...labels, gateway: silo.gateway }, 1);
    if (silo.identity === null) continue;
    notBefore(labels, silo.identity.notBefore / 1000);
    notAfter(labels, silo.identity.notAfter / 1000);
    daysLeft(labels, (silo.identity.notAfter - nowMs) / 86_400_000);
  }
  putIsolates(silos, gauge);
  putQuotas(silos, gauge);
  putUplinks(silos, gauge, counter);
  putSpools(silos, gauge, counter);
}

function putIsolates(silos: readonly SiloStatus[], gauge: Define): void {
  const isolation = gauge('silo_isolation_info', 'Always 1; the label says how the silo is isolated');
  const quarantined = gauge('silo_quarantined', '1 where the silo crashed too often and is left alone');
  const cpuShare = gauge(
    'silo_cpu_share_ratio',
    'Share of one core that its isolate took over the last 10 s',
  );
  const memory = gauge('silo_memory_bytes', 'Memory of its isolate: heap and buffers');
  const memoryMax = gauge('silo_memory_bytes_max', 'What its isolate may have');
  for (const { tenant, name, state, isolation: kind, usage } of silos) {
    const labels = { tenant: tenant ?? '', silo: name };
    isolation({ ...labels, isolation: kind }, 1);
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
  const reached = gauge('quota_reached', '1 while the quota limits the silo');
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
  const refused = counter('batches_refused', 'Times that the broker refused a batch');
  const noSubscribers = counter('batches_no_subscribers', 'Publishes of a batch that had no subscriber');
  const inflight = gauge(
    'uplink_inflight_batches',
    'Publishes not yet answered: batches, events, checkpoints',
  );
  const roundTrip = gauge('uplink_round_trip_seconds', 'Smoothed time from PUBLISH to PUBACK');
  const bytesSent = counter(
    'uplink_bytes_sent',
    'MQTT bytes sent: publishes, pings and the rest of every session, without what TLS adds',
  );
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
