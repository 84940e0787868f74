import { BroadcastChannel } from 'node:worker_threads';
import { systemClock } from '../../src/base/clock.ts';
import { createLogger, formatJson } from '../../src/base/logger.ts';
import { readConfig } from '../../src/config/config-reader.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import { openIsolate, type OpenIsolate } from '../../src/silo/host/open-isolate.ts';
import { ThreadIsolate } from '../../src/silo/host/thread-isolate.ts';
import { limitsOf } from '../../src/silo/host/watchdog.ts';
import { type GatewayAnswer, type GatewayWord, noisySilo } from './neighbours.ts';
import { faultySiloThresholds, faultySiloEntry } from './faulty-silo-orders.ts';

/**
 * The daemon's gateway with a silo that can be given a fault, if that is a thread: CONFIG. Over IPC it gets the fault,
 * and answers with its status; SIGTERM ends it.
 */
const open: OpenIsolate = (startMessage, clock, logger, listener) => {
  const { options } = startMessage;
  if (options.name !== noisySilo || options.isolation.kind === 'process')
    return openIsolate(startMessage, clock, logger, listener);
  const isolate = new ThreadIsolate(
    {
      name: options.name,
      limits: limitsOf(options),
      clock,
      rogue: { entry: faultySiloEntry, thresholds: faultySiloThresholds },
    },
    listener,
  );
  if (fault !== undefined) setTimeout(spread, 1000);
  return isolate;
};

let fault: string | undefined;
const channel = new BroadcastChannel('fault');
const spread = (): void => channel.postMessage(fault);

const read = await readConfig(process.argv[2]!);
if ('faults' in read) throw new Error(JSON.stringify(read.faults));
const print = process.env['BENCH_LOG'] !== undefined;
const logger = createLogger((record) => {
  if (print) process.stderr.write(formatJson(record, Date.now()));
}, 'info');
const gateway = new Gateway(read.options, { clock: systemClock, logger, openIsolate: open });

process.on('message', (word: GatewayWord) => {
  if (word.kind === 'fault') {
    ({ fault } = word);
    spread();
  } else {
    process.send!({ kind: 'status', status: gateway.status() } satisfies GatewayAnswer);
  }
});
process.once('SIGTERM', () => {
  void gateway.stop().then(() => process.exit(0));
});
process.send!({ kind: 'ready' } satisfies GatewayAnswer);
