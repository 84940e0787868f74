import { openSync } from 'node:fs';
import { systemClock } from '../../src/base/clock.ts';
import { connectProcess, spawnProcess } from '../../src/silo/host/process-isolate.ts';
import { HeardIsolate } from './heard-isolate.ts';

/** A gateway that can open no more files: how each kind of process ends then, on its standard output. */
const takeAll = (): void => {
  try {
    for (;;) openSync('/dev/null', 'r');
  } catch {
    // None is left.
  }
};

const heard = { spawned: new HeardIsolate(), connected: new HeardIsolate() };
takeAll();
spawnProcess({ clock: systemClock }, heard.spawned);
connectProcess('/none/silo.sock', { clock: systemClock }, heard.connected);
setInterval(() => {
  const all = Object.values(heard);
  if (all.some(({ ends }) => ends.length === 0)) return;
  process.stdout.write(JSON.stringify(all.map(({ ends, faults }) => ({ ends, faults }))));
  process.exit();
}, 20);
