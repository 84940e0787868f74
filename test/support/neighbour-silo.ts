import { BroadcastChannel } from 'node:worker_threads';
import { systemClock } from '../../src/base/clock.ts';
import { createLogger, formatJson } from '../../src/base/logger.ts';
import { serve } from '../../src/silo/process/server.ts';
import type { IsolatePlague } from './neighbours.ts';
import { plaguePatience, possessedEntry } from './faulty-silo-orders.ts';

/**
 * The noisy silo's own process, whose isolate can be driven mad: SOCKET. The gateway is of the same user. Over IPC
 * it is told with what; from then on every life of it falls ill a second or two after its birth. SIGTERM ends it.
 */
const print = process.env['BENCH_LOG'] !== undefined;
const logger = createLogger((record) => {
  if (print) process.stderr.write(formatJson(record, Date.now()));
}, 'info');
const channel = new BroadcastChannel('plague');

const server = await serve(
  { listen: process.argv[2]!, gatewayUid: () => process.getuid!() },
  { clock: systemClock, logger, rogue: { entry: possessedEntry, thresholds: plaguePatience } },
);
process.on('message', (fault: IsolatePlague) => {
  channel.postMessage(fault);
  setInterval(() => channel.postMessage(fault), 1000);
});
process.once('SIGTERM', () => void server.close().then(() => process.exit()));
process.send!('ready');
