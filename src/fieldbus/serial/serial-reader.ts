import type { Clock } from '../../base/clock.ts';
import type { Sample } from '../../reading/sample.ts';
import type { DeviceStatus } from '../../reading/status.ts';
import type { SerialDeviceOptions } from '../options.ts';
import type { SerialLine } from './line.ts';
import { createListener } from './listener.ts';
import { createPoller } from './poller.ts';

export interface ReaderOutlets {
  line: SerialLine;
  clock: Clock;
  deliver: (sample: Sample) => void;
}

/** One serial sensor: fed with what the line brings, it delivers samples. */
export interface SerialReader {
  opened(): void;
  lost(): void;
  receive(bytes: Uint8Array): void;
  stop(): void;
  status(): DeviceStatus;
}

/** Throws ProfileInvalid for a pattern that is none. */
export function createSerialReader(device: SerialDeviceOptions, outlets: ReaderOutlets): SerialReader {
  const { protocol } = device;
  const { request } = protocol;
  if (request === undefined) return createListener(device, outlets);
  return createPoller({ ...device, protocol: { ...protocol, request } }, outlets);
}
