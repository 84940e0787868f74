/**
 * Why a silo gives samples up before they are stored; as metrics, events and the audit log say it.
 * `quota`, `cpu-quota`: it was held to its samples a second, or to its share of CPU. `overrun`: it did not keep
 * up. `crash`: it died with them in its hands. `restart`: its configuration changed, and they could not wait for
 * that or were not the new tenant's. `no-identity`: nobody proved whose they are. `disk`:
 * no disk took them, and memory had no more room for them before they could be sent.
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
