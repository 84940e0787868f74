import type { DeviceStatus, GatewayStatus, SiloStatus } from '../status/status.ts';
import type { Tenants } from './tenants.ts';
import type { Row } from '../backend/row.ts';
import type { Quality } from '../reading/quality.ts';
import type { Sample, Value } from '../reading/sample.ts';

export type Reading = { value: Value } | { quality: Quality };

export interface TenantModel extends Tenants {
  status: SiloStatus | undefined;
  deviceStatus: ReadonlyMap<string, DeviceStatus>;
  /** The last value of each device's points as the gateway took it, or why it has no value. */
  latest: Map<string, Map<string, Reading>>;
  /** Rows since the last one of this tenant was shown. */
  fresh: Row[];
  /** Batches at the backend, and those of them that a signed checkpoint covers. Known at the end. */
  batches: number;
  verified: number;
  /** Samples that came in, and rows that came out, in each of the last seconds; the last one is still filling. */
  samplesBySecond: number[];
  rowsBySecond: number[];
  rows: number;
  /** Batches that the backend misses, and that came to it again. */
  gaps: number;
  duplicates: number;
  devicesSeen: Set<string>;
  /** Most batches that ever waited at once. */
  peakBatches: number;
}

/** Enough for the widest sparkline. */
const historySeconds = 60;
/** More than any terminal has lines. */
const rowsShownMax = 200;
/** Rows that wait to be chosen from; the newest are the most interesting. */
const freshMax = 50;
/** Rates are means over this many full seconds. */
const rateSeconds = 5;

/** What has been seen of the demo so far: everything that the view and the summary are made of. */
export class DemoModel {
  readonly tenants: readonly TenantModel[];
  /** Some of the rows, newest last, at a pace that can be read. */
  readonly shownRows: Row[] = [];
  gateway: GatewayStatus | undefined;
  leaving = false;
  brokerUp = true;
  unplugged = false;
  /** Attempts to publish as another tenant that the broker refused, and rows that arrived in spite of it. */
  refused = 0;
  strays = 0;
  /** What the backend received that its sender did not sign or may not claim. */
  readonly alarms: string[] = [];
  #second = 0;
  #turn = 0;

  constructor(tenants: readonly Tenants[]) {
    this.tenants = tenants.map((each) => ({
      ...each,
      status: undefined,
      deviceStatus: new Map(),
      latest: new Map(),
      fresh: [],
      batches: 0,
      verified: 0,
      samplesBySecond: [0],
      rowsBySecond: [0],
      rows: 0,
      gaps: 0,
      duplicates: 0,
      devicesSeen: new Set(),
      peakBatches: 0,
    }));
  }

  get rowCount(): number {
    return this.tenants.reduce((sum, tenant) => sum + tenant.rows, 0);
  }

  get gaps(): number {
    return this.tenants.reduce((sum, tenant) => sum + tenant.gaps, 0);
  }

  get duplicates(): number {
    return this.tenants.reduce((sum, tenant) => sum + tenant.duplicates, 0);
  }

  get samplesPerSecond(): number {
    return this.tenants.reduce((sum, tenant) => sum + ratePerSecond(tenant.samplesBySecond), 0);
  }

  get rowsPerSecond(): number {
    return this.tenants.reduce((sum, tenant) => sum + ratePerSecond(tenant.rowsBySecond), 0);
  }

  /** `elapsedMs` since the demo began: moves the histories on. */
  tick(elapsedMs: number): void {
    for (const second = Math.floor(elapsedMs / 1000); this.#second < second; this.#second += 1) {
      for (const history of this.tenants.flatMap((tenant) => [tenant.samplesBySecond, tenant.rowsBySecond])) {
        history.push(0);
        if (history.length > historySeconds) history.shift();
      }
    }
  }

  /** Picks the next row to show: of the tenants in turn, of their devices in turn, and of these any. */
  showNextRow(): void {
    this.#turn += 1;
    const tenant = this.tenants[this.#turn % this.tenants.length]!;
    const devices = [...Map.groupBy(tenant.fresh, (row) => row.device).values()];
    const rows = devices[Math.floor(this.#turn / this.tenants.length) % devices.length] ?? [];
    const row = rows[(this.#turn * 7) % rows.length];
    if (row === undefined) return;
    tenant.fresh = [];
    this.shownRows.push(row);
    if (this.shownRows.length > rowsShownMax) this.shownRows.shift();
  }

  takeStatus(status: GatewayStatus): void {
    this.gateway = status;
    const devices = status.buses.flatMap((bus) => bus.devices);
    for (const tenant of this.tenants) {
      tenant.status = status.silos.find((silo) => silo.name === tenant.silo);
      const own = devices.filter((device) => device.silo === tenant.silo);
      tenant.deviceStatus = new Map(own.map((device) => [device.name, device]));
      tenant.peakBatches = Math.max(tenant.peakBatches, tenant.status?.spool?.batches ?? 0);
    }
  }

  takeSample(silo: string, sample: Sample): void {
    const tenant = this.tenants.find((each) => each.silo === silo);
    if (tenant === undefined) return;
    const readings = tenant.latest.get(sample.device) ?? new Map<string, Reading>();
    tenant.latest.set(sample.device, readings);
    for (const [point, value] of Object.entries(sample.values)) readings.set(point, { value });
    for (const [point, quality] of Object.entries(sample.quality ?? {})) readings.set(point, { quality });
    tenant.samplesBySecond[tenant.samplesBySecond.length - 1]! += 1;
  }

  takeRow(row: Row): void {
    const tenant = this.tenants.find((each) => each.tenant === row.tenant && each.gateway === row.gateway);
    if (tenant === undefined || !tenant.devices.some((device) => device.name === row.device)) {
      this.strays += 1;
      return;
    }
    tenant.rows += 1;
    tenant.rowsBySecond[tenant.rowsBySecond.length - 1]! += 1;
    tenant.fresh.push(row);
    if (tenant.fresh.length > freshMax) tenant.fresh.shift();
    if (row.value !== null) tenant.devicesSeen.add(row.device);
  }
}

/** In a word, the state of the tenant's broker connection, or of its silo if there is no connection. */
export function stateOf({ status }: TenantModel): string {
  return status?.uplink?.state ?? status?.state ?? 'starting';
}

/** Mean over the last full seconds. */
export function ratePerSecond(bySecond: readonly number[]): number {
  const full = bySecond.slice(0, -1).slice(-rateSeconds);
  return full.length === 0 ? 0 : full.reduce((sum, count) => sum + count, 0) / full.length;
}
