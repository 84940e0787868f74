import type { PolledDevice } from './polled-device.ts';

/** What the bus needs of a device to poll it. */
export type BusDevice = Pick<
  PolledDevice,
  | 'options'
  | 'isDead'
  | 'dueAtMs'
  | 'reportAtMs'
  | 'candidate'
  | 'next'
  | 'take'
  | 'offlineSample'
  | 'endPause'
  | 'endAbsence'
  | 'countStray'
  | 'state'
  | 'status'
  | 'demand'
> & {
  /** The line to it broke: another device may answer next time. */
  lost?(): void;
};
