import { BroadcastChannel } from 'node:worker_threads';
import '../../src/silo/tenant/worker.ts';
import type { IsolateFault } from './neighbours.ts';

/**
 * A real silo that gets a fault on command, while it works. The command comes by a channel that no real silo has.
 */
const kept: unknown[] = [];

const faults: Record<IsolateFault, () => void> = {
  crash: () => {
    throw new Error('injected fault');
  },
  'heap leak': () => {
    for (let count = 0; count < 5000; count += 1) kept.push(Array.from({ length: 100 }, () => ({ count })));
  },
  'buffer leak': () => {
    kept.push(Buffer.alloc(2_000_000, 1));
  },
  'endless loop': () => {
    for (;;) kept.length = 0;
  },
};

const channel = new BroadcastChannel('fault');
channel.addEventListener(
  'message',
  (event) => {
    const { data } = event as unknown as { data: IsolateFault };
    setInterval(faults[data], 20);
  },
  // The command is repeated, for silos that had not started yet.
  { once: true },
);
channel.unref();
