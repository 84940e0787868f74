import { parentPort } from 'node:worker_threads';
import { systemClock } from '../../base/clock.ts';
import { kernelSynchronized, readBootId, setFromHardwareClock } from './kernel-clock.ts';
import { MessageCoalescer } from './message-coalescer.ts';
import type { SiloChannel, ToSilo } from '../protocol.ts';
import { Silo } from './silo.ts';

/** Entry of a silo's worker thread: one tenant's isolate; its port is the only way in and out. */
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
    // An unexpected error ends only this isolate; the gateway restarts it.
    turn.catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
  });
}
