import { BroadcastChannel } from 'node:worker_threads';
import '../../src/silo/tenant/worker.ts';
import type { IsolatePlague } from './neighbours.ts';

/**
 * A real silo that goes mad at a word, in the midst of its work. The word comes by a way that no silo of ours has.
 */
const kept: unknown[] = [];

const plagues: Record<IsolatePlague, () => void> = {
  crash: () => {
    throw new Error('gone mad');
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

const channel = new BroadcastChannel('plague');
channel.addEventListener(
  'message',
  (event) => {
    const { data } = event as unknown as { data: IsolatePlague };
    setInterval(plagues[data], 20);
  },
  // The word is said again and again, for those that were not yet born.
  { once: true },
);
channel.unref();
