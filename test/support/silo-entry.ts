// A silo as a process of its own, controlled over IPC, whose clock is ahead by the first argument in ms.
import type { Clock } from '../../src/base/clock.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { FromSilo, ToSilo } from '../../src/silo/protocol.ts';
import { Silo } from '../../src/silo/tenant/silo.ts';

const aheadMs = Number(process.argv[2]);
const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs };
const channel = {
  post: (message: FromSilo): void => void process.send?.(message),
  onMessage: () => {},
  close: () => process.disconnect(),
};

let silo: Silo | undefined;
let turn: Promise<void> = Promise.resolve();
process.on('message', (message: ToSilo) => {
  turn = turn.then(async () => {
    if (message.type !== 'start') return silo?.handle(message);
    const time = { clock, bootId: 'boot', synchronized: () => true, setFromHardware: true };
    silo = new Silo(message.startMessage, channel, clock, time);
    await silo.start();
  });
});
// The process that started it is gone.
process.on('disconnect', () => process.exit());
