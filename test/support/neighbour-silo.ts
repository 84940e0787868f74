import { BroadcastChannel } from 'node:worker_threads';
import { systemClock } from '../../src/base/clock.ts';
import { createLogger, formatJson } from '../../src/base/logger.ts';
import { serve } from '../../src/silo/process/server.ts';
import type { IsolateFault } from './neighbours.ts';
import { faultySiloThresholds, faultySiloEntry } from './faulty-silo-orders.ts';

/**
 * The noisy silo's own process, whose isolate can be given a fault: SOCKET. The gateway is of the same user. Over IPC
 * it gets the fault; from then on every start of the isolate has it after a second or two. SIGTERM ends it.
 */
const print = process.env['BENCH_LOG'] !== undefined;
const logger = createLogger((record) => {
  if (print) process.stderr.write(formatJson(record, Date.now()));
}, 'info');
const channel = new BroadcastChannel('fault');

const server = await serve(
  { listen: process.argv[2]!, gatewayUid: () => process.getuid!() },
  { clock: systemClock, logger, rogue: { entry: faultySiloEntry, thresholds: faultySiloThresholds } },
);
process.on('message', (fault: IsolateFault) => {
  channel.postMessage(fault);
  setInterval(() => channel.postMessage(fault), 1000);
});
process.once('SIGTERM', () => void server.close().then(() => process.exit()));
process.send!('ready');
