/**
 * Measures the uplink alone: batches into a real Mosquitto over mutual TLS, through a network of our own making.
 *
 *   node scripts/bench-uplink.ts [--seconds 10] [--bytes 20000]
 *
 * One line for each protocol and round trip: batches a second, the window it settled at, CPU per batch (the uplink's
 * process, which carries the network as well). The exit code does not depend on the figures.
 */
import { parseArgs } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import { silentLogger } from '../src/base/logger.ts';
import { type PublishRequest, startUplink } from '../src/uplink/uplink.ts';
import { afterAnswer, openWindow, type PublishWindow, windowSize } from '../src/uplink/publish-window.ts';
import { Mosquitto } from '../test/support/mosquitto.ts';
import { TcpProxy } from '../test/support/tcp-proxy.ts';
import { owned } from '../test/support/owned-origin.ts';

function statusOf(online: boolean): PublishRequest {
  const payload = Buffer.from(JSON.stringify({ v: 1, ...origin, online }));
  return { channel: 'status', payload, retain: true, contentType: 'application/json' };
}

const { values: settings } = parseArgs({
  options: { seconds: { type: 'string', default: '10' }, bytes: { type: 'string', default: '20000' } },
});
const seconds = Number(settings.seconds);
const payload = Buffer.alloc(Number(settings.bytes), 'x');
const origin = owned({ tenant: 'acme', gateway: 'acme_gw-0001' });
/** As many as the uplink may have in flight, for any round trip. */
const inflightMax = 100;

async function measure(broker: Mosquitto, protocol: '5' | '3.1.1', roundTripMs: number): Promise<string> {
  await using proxy = await TcpProxy.start(broker.port, roundTripMs / 2);
  const credentials = await broker.authority.issue({
    organization: origin.tenant,
    commonName: origin.gateway,
  });
  let window: PublishWindow | undefined;
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const uplink = startUplink(
    {
      url: `mqtts://localhost:${proxy.port}`,
      ca: broker.caFile,
      protocol,
      encoding: 'json',
      compression: 'none',
      noSubscribers: 'accept',
      order: 'fifo',
      inflightMax,
      keepaliveSeconds: 30,
    },
    origin,
    credentials,
    { birth: () => statusOf(true), will: () => statusOf(false) },
    {
      onReady: (limits) => {
        window = openWindow(limits.inflightMax, systemClock.monotonicMs());
        resolve();
      },
      onLost: () => {},
    },
    { clock: systemClock, logger: silentLogger },
  );
  await ready;
  const cpuBefore = process.cpuUsage();
  const startMs = systemClock.monotonicMs();
  let accepted = 0;
  let inflight = 0;
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  const over = (): boolean => systemClock.monotonicMs() - startMs > seconds * 1000;
  const pump = (): void => {
    if (over() && inflight === 0) finish();
    while (!over() && inflight < windowSize(window!)) {
      inflight += 1;
      const sent = { sentAtMs: systemClock.monotonicMs(), inflight };
      void uplink.publish({ channel: 'telemetry', payload }).then(({ kind }) => {
        inflight -= 1;
        if (kind === 'accepted') accepted += 1;
        window = afterAnswer(window!, { ...sent, answeredAtMs: systemClock.monotonicMs() });
        pump();
      });
    }
  };
  pump();
  await finished;
  const elapsed = (systemClock.monotonicMs() - startMs) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  await uplink.stop(2000);
  const figures = [
    `${(accepted / elapsed).toFixed(0)} batches/s`,
    `${((accepted * payload.length) / elapsed / 1e6).toFixed(2)} MB/s`,
    `window ${windowSize(window!)}`,
    `${((cpu.user + cpu.system) / accepted).toFixed(0)} µs CPU a batch`,
  ];
  return `MQTT ${protocol}, round trip ${roundTripMs} ms: ${figures.join(', ')}`;
}

await using broker = await Mosquitto.start({ config: [`max_inflight_messages ${inflightMax}`] });
for (const protocol of ['5', '3.1.1'] as const) {
  for (const roundTripMs of [0, 50, 600]) {
    process.stdout.write(`${await measure(broker, protocol, roundTripMs)}\n`);
  }
}
