import type { Steps } from '../base/steps.ts';
import type { Quality } from '../reading/quality.ts';
import type { Value } from '../reading/sample.ts';
import type { TelemetryBatch } from '../messages/telemetry.ts';

/** One value of one point at one instant, with its quality, or the reason why it has no value. */
export interface Row {
  tenant: string;
  gateway: string;
  device: string;
  point: string;
  /** Null where the point was not read. */
  value: Value | null;
  /** From the gateway's `meta`; null where that has not been seen or names none. */
  unit: string | null;
  quality: 'good' | Quality;
  /** ISO 8601, UTC. */
  time: string;
  /** The same in ms since 1970 UTC. */
  ts: number;
  epoch: string;
  seq: number;
  /** Where the gateway's clock was not known good: `time` may be off. */
  clock?: 'estimated';
  /** A batch of this number came before with other content: this is the second chain, or the third. */
  fork?: number;
}

export type UnitOf = (device: string, point: string) => string | null;

/** Rows between two steps. */
const stepRows = 2000;

/** In the order of the batch; a sample's values before its qualities. */
export function* rowsOf(batch: TelemetryBatch, unitOf: UnitOf, fork?: number): Steps<Row[]> {
  const { tenant, gateway, epoch, seq } = batch;
  const rows: Row[] = [];
  let stepAt = stepRows;
  for (const { device, ts, clock, values, quality } of batch.samples) {
    const time = new Date(ts).toISOString();
    const row = (point: string, value: Value | null, quality: Row['quality']): Row => {
      const unit = unitOf(device, point);
      const base = { tenant, gateway, device, point, value, unit, quality, time, ts, epoch, seq };
      return { ...base, ...(clock !== undefined && { clock }), ...(fork !== undefined && { fork }) };
    };
    const reasons = new Map(Object.entries(quality ?? {}));
    for (const [point, value] of Object.entries(values))
      rows.push(row(point, value, reasons.get(point) ?? 'good'));
    for (const [point, reason] of reasons)
      if (!Object.hasOwn(values, point)) rows.push(row(point, null, reason));
    if (rows.length < stepAt) continue;
    stepAt = rows.length + stepRows;
    yield;
  }
  return rows;
}
