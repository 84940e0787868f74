import { Socket } from 'node:net';
import { systemClock } from '../../base/clock.ts';
import { keepDebuggersOut } from '../../base/debugger.ts';
import { Connection } from './connection.ts';

/** Entry of a silo's process that the gateway started itself: it inherits its socket under this descriptor. */
const inheritedDescriptor = 3;

keepDebuggersOut();
const connection = new Connection(new Socket({ fd: inheritedDescriptor, readable: true, writable: true }), {
  clock: systemClock,
  ended: () => process.exit(0),
});
// A terminal's Ctrl-C reaches every process of its group; the gateway stops its silos itself.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => connection.leave());
