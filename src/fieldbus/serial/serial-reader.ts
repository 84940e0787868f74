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

/** What the sensor's silo has of the line. Who sends by itself cannot be held, and costs the line no turn. */
export interface SiloTime {
  /** Until when it has to wait because its share is used up; null where it may be asked now. */
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
  /** What the sensor says of itself has changed. */
  onIdentity: (identity: IdentityCheckStatus) => void;
}

/** One serial sensor: fed with what the line brings, it delivers samples. */
export interface SerialReader {
  opened(): void;
  lost(): void;
  receive(bytes: Uint8Array): void;
  stop(): void;
  /**
   * As `stop`, but a dialogue that is going on is heard out, for what its sensor still says must not be taken for
   * another's: it is to be fed until its turn is over.
   */
  retire(): void;
  /** Share of time that its dialogues would take if none was passed over; it has none where it only listens. */
  demand(): number;
  status(): DeviceStatus;
}

/** Throws ProfileInvalid where `createSerialReader` would. */
export function checkSensor({ protocol, identify }: SerialDeviceOptions): void {
  const { messages, request = [] } = protocol;
  identifiedMessages(compileMessages(messages), identify, () => {});
  for (const { expect } of request) if (expect !== undefined) compilePattern(expect);
}

/** Throws ProfileInvalid for a pattern that is none. */
export function createSerialReader(device: SerialDeviceOptions, outlets: ReaderOutlets): SerialReader {
  const { protocol } = device;
  const { request } = protocol;
  if (request === undefined) return createListener(device, outlets);
  return createPoller({ ...device, protocol: { ...protocol, request } }, outlets);
}
