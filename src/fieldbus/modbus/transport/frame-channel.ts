import type { EventEmitter } from 'node:events';
import { MerestoneError } from '../../../base/error.ts';
import type { Channel, ChannelEvents } from '../../port/port.ts';

/** A transport of modbus-serial: it takes requests and emits answers, both as RTU frames with their CRC. */
export interface FrameTransport extends EventEmitter {
  write(frame: Buffer): void;
}

/** Function codes that read (Modbus V1.1b3 §6.1 to §6.4, §6.13, §6.21). */
const readingCodes = new Set([1, 2, 3, 4, 17, 43]);

/** Unread answers: more than a client ever waits for. */
const pendingFramesMax = 64;

/**
 * A transport as a channel of RTU frames, so that planning, late answers and faults are as on every other line.
 * It sends only requests with reading function codes, for every caller.
 */
export function frameChannel(
  transport: FrameTransport,
  events: ChannelEvents,
  close: () => Promise<void>,
): Channel {
  let pending: Uint8Array[] = [];
  let watched = false;
  transport.on('data', (frame: Buffer) => {
    if (pending.length < pendingFramesMax) pending.push(Uint8Array.from(frame));
    if (!watched) return;
    watched = false;
    events.readable();
  });
  return {
    write: (frame) => {
      if (!readingCodes.has(frame[1] ?? 0)) {
        throw new MerestoneError('Internal', `function code ${frame[1]} does not read`);
      }
      transport.write(Buffer.from(frame)); // a copy: it is changed in place
    },
    read: () => {
      const bytes = pending.length === 1 ? pending[0]! : Buffer.concat(pending);
      pending = [];
      return bytes;
    },
    watch: () => {
      if (pending.length > 0) queueMicrotask(() => events.readable());
      else watched = true;
    },
    setBaudRate: () => Promise.resolve(),
    close,
  };
}
