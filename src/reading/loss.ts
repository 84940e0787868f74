/**
 * Why a silo gives samples up before they are stored, in the words of metrics, events and the audit log:
 * - `quota`, `cpu-quota`: its limit of samples a second, or its share of CPU, was reached
 * - `overrun`: it did not keep up
 * - `crash`: it ended while it had them in memory
 * - `restart`: its configuration changed, and they could not wait for that or were not the new tenant's
 * - `no-identity`: no certificate proved whose they are
 * - `disk`: no disk took them, and memory had no more room for them before they could be sent
 */
export const lossReasons = [
  'quota',
  'cpu-quota',
  'overrun',
  'crash',
  'restart',
  'no-identity',
  'disk',
] as const;

export type LossReason = (typeof lossReasons)[number];
