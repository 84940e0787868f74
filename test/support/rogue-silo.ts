import { parentPort, workerData } from 'node:worker_threads';
import type { ToSilo } from '../../src/silo/protocol.ts';
import { siloStatus } from './status.ts';

/**
 * A faulty silo in place of the real one's entry: its label names the fault. It sends a message every 50 ms, as a real
 * one does every second, until it is asked to stop.
 */
const port = parentPort!;
const kept: unknown[] = [];
const status = (more: object): void => port.postMessage({ type: 'status', status: siloStatus('liar', more) });

const faults: Record<string, () => void> = {
  sane: () => status({}),
  // Only its server answers for it.
  mute: () => {},
  crash: () => {
    throw new Error('injected fault');
  },
  'heap-leak': () => {
    for (let count = 0; count < 1000; count += 1) kept.push(Array.from({ length: 100 }, () => ({ count })));
    status({});
  },
  'buffer-leak': () => {
    kept.push(Buffer.alloc(4_000_000, 1));
    status({});
  },
  // V8 ends the whole process if one allocation is larger than the heap limit.
  'huge-array': () => {
    const huge: number[] = [];
    huge.length = 30_000_000;
    kept.push(huge.fill(0));
  },
  loop: () => {
    status({});
    for (;;) kept.length = 0;
  },
  // By its own CPU time: on a busy machine it takes no less.
  busy: () => {
    const before = process.threadCpuUsage();
    while (process.threadCpuUsage(before).user < 25_000) kept.length = 0;
    status({});
  },
  // As an internal fault in a loop would.
  'endless-log': () => {
    const line = { type: 'log', level: 'info', event: 'again', fields: { reason: 'x'.repeat(1000) } };
    for (;;) port.postMessage(line);
  },
  'print-flood': () => {
    for (let line = 0; line < 100; line += 1) process.stdout.write('x'.repeat(20_000));
    status({});
  },
  'throws-null': () => {
    // eslint-disable-next-line no-throw-literal -- what no error is, ends a thread all the same
    throw null;
  },
  'log-chatter': () => {
    const fields = { silo: 'neighbour', time: 'never', level: 'info', reason: 'x'.repeat(2500) };
    for (let line = 0; line < 4; line += 1) {
      port.postMessage({ type: 'log', level: 'error', event: 'help', fields });
    }
  },
  'log-flood': () => {
    const fields = { silo: 'neighbour', time: 'never', level: 'info', reason: 'x'.repeat(100_000) };
    for (let line = 0; line < 1000; line += 1) {
      port.postMessage({ type: 'log', level: 'error', event: 'help', fields });
    }
    status({});
  },
  impostor: () => {
    status({ tenant: kept.length < 5 ? 'acme' : 'globex', restarts: 99, isolation: 'thread', usage: null });
    kept.push(null);
  },
  environment: () => {
    const fields = { seen: JSON.stringify([process.env, process.argv, process.execArgv, workerData]) };
    port.postMessage({ type: 'log', level: 'info', event: 'environment', fields });
  },
  garbage: () => port.postMessage({ type: 'samples', samples: [{ device: 'neighbour-meter' }] }),
  greedy: () => port.postMessage({ type: 'credit', readings: Number.MAX_VALUE }),
  'big-talker': () => status({ reason: 'x'.repeat(900_000), samples: { dropped: manyReasons() } }),
};

function manyReasons(): Record<string, number> {
  return Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`reason-${index}`, index]));
}

let taken = 0;

port.on('message', (message: ToSilo) => {
  if (message.type === 'samples') taken += message.samples.length;
  if (message.type === 'record') {
    const fields = { kind: message.act.kind, details: JSON.stringify(message.act.details) };
    port.postMessage({ type: 'log', level: 'info', event: 'recorded', fields });
  }
  if (message.type === 'start') setInterval(faults[message.startMessage.options.name]!, 50);
  if (message.type === 'stop') {
    port.postMessage({ type: 'log', level: 'info', event: 'taken', fields: { samples: taken } });
    port.postMessage({ type: 'stopped' });
    port.close();
    process.exit();
  }
});
