import { parentPort } from 'node:worker_threads';
import { systemClock } from '../../base/clock.ts';
import { kernelSynchronized, readBootId, setFromHardwareClock } from './kernel-clock.ts';
import { MessageCoalescer } from './message-coalescer.ts';
import type { SiloChannel, ToSilo } from '../protocol.ts';
import { Silo } from './silo.ts';

/** Entry of a silo's own thread: one tenant's isolate, with one port as its only way in and out. */
if (parentPort === null) throw new Error('this is the entry of a worker thread');
const port = parentPort;

const coalescer = new MessageCoalescer((message) => port.postMessage(message), systemClock);

const channel: SiloChannel = {
  post: (message) => coalescer.post(message),
  onMessage: (listener) => {
    port.on('message', listener);
  },
  close: () => port.close(),
};

serve(channel);

/** Messages are handled one after another: samples that come while the spool opens wait their turn. */
function serve(channel: SiloChannel): void {
  let silo: Silo | undefined;
  let turn: Promise<void> = Promise.resolve();
  channel.onMessage((message: ToSilo) => {
    turn = turn.then(async () => {
      if (message.type !== 'start') return silo?.handle(message);
      silo = new Silo(message.startMessage, channel, systemClock, {
        clock: systemClock,
        bootId: readBootId(),
        synchronized: kernelSynchronized,
        setFromHardware: setFromHardwareClock(),
      });
      await silo.start();
    });
    // A fault that nobody expected ends this isolate alone; the gateway starts it anew.
    turn.catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
  });
}
