import type { Clock } from '../../base/clock.ts';
import type { Sample } from '../../reading/sample.ts';
import type { DeviceStatus, IdentityCheckStatus } from '../../status/status.ts';
import type { SerialDeviceOptions } from '../options.ts';
import { identifiedMessages } from './identified-messages.ts';
import type { SerialLine } from './serial-line.ts';
import { createListener } from './listener.ts';
import { compileMessages } from './message-reader.ts';
import { compilePattern } from './pattern.ts';
import { createPoller } from './poller.ts';

/** The silo's share of the line. A free-running sensor can't be delayed, and takes no turn. */
export interface SiloTime {
  /** Until when it must wait because the share is used up; null if it may be asked now. */
  overShareUntilMs(): number | null;
  spent(ms: number): void;
}

export interface ReaderOutlets {
  line: SerialLine;
  clock: Clock;
  siloTime: SiloTime;
  /** Whether the sensor is the only one on the line. */
  isAlone: () => boolean;
  deliver: (sample: Sample) => void;
  /** The identity that the sensor shows has changed. */
  onIdentity: (identity: IdentityCheckStatus) => void;
}

/** One serial sensor: it gets the bytes of the line, and delivers samples. */
export interface SerialReader {
  opened(): void;
  lost(): void;
  receive(bytes: Uint8Array): void;
  stop(): void;
  /**
   * As `stop`, but a running dialogue is finished, because late bytes of its sensor must not be taken for another's:
   * the reader must get all bytes until its turn is over.
   */
  retire(): void;
  /** Share of time that its dialogues would take if none was skipped; 0 if it only listens. */
  demand(): number;
  status(): DeviceStatus;
}

/** Throws ProfileInvalid where `createSerialReader` would. */
export function checkSensor({ protocol, identify }: SerialDeviceOptions): void {
  const { messages, request = [] } = protocol;
  identifiedMessages(compileMessages(messages), identify, () => {});
  for (const { expect } of request) if (expect !== undefined) compilePattern(expect);
}

/** Throws ProfileInvalid for an invalid pattern. */
export function createSerialReader(device: SerialDeviceOptions, outlets: ReaderOutlets): SerialReader {
  const { protocol } = device;
  const { request } = protocol;
  if (request === undefined) return createListener(device, outlets);
  return createPoller({ ...device, protocol: { ...protocol, request } }, outlets);
}
