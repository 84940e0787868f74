import { describeError } from '../base/error.ts';
import type { Attempt } from './attacker.ts';
import { stateOf, type DemoModel } from './model.ts';

interface TenantSummary {
  tenant: string;
  gateway: string;
  epoch: string | null;
  /** Taken in by the silo. */
  samples: number;
  /** Received by the backend. */
  batches: number;
  rows: number;
  /** Of the batches, those that a checkpoint which the gateway signed covers. */
  verified: number;
  /** Batches that the backend misses, and that came to it again and were dropped. */
  gaps: number;
  duplicates: number;
  /** Devices of which the backend has at least one value. */
  devices: string[];
}

export interface Summary {
  ok: boolean;
  /** Why not; empty where all is well. */
  reasons: string[];
  seconds: number;
  tenants: TenantSummary[];
  /** Publishes with one tenant's certificate to another tenant's topic. `arrived`: rows under another tenant's name. */
  crossTenant: { attempts: number; refused: number; arrived: number };
}

/** The verdict: both tenants' readings came through, from every device, and every attack was refused. */
export function summarize(
  model: DemoModel,
  attempts: readonly Attempt[],
  elapsedMs: number,
  failure: unknown,
): Summary {
  const tenants = model.tenants.map((tenant) => ({
    tenant: tenant.tenant,
    gateway: tenant.gateway,
    epoch: tenant.status?.spool?.epoch ?? null,
    samples: tenant.status?.samples.received ?? 0,
    batches: tenant.batches,
    rows: tenant.rows,
    verified: tenant.verified,
    gaps: tenant.gaps,
    duplicates: tenant.duplicates,
    devices: [...tenant.devicesSeen].sort(),
  }));
  const refused = attempts.filter((attempt) => attempt === 'refused').length;
  const reasons = failure === undefined ? [...model.alarms] : [describeError(failure), ...model.alarms];
  for (const { tenant, devices, devicesSeen, status } of model.tenants) {
    const missing = devices.filter(({ name }) => !devicesSeen.has(name)).map(({ name }) => name);
    const why = status?.reason ?? status?.uplink?.reason;
    const because = why ? ` (${why})` : '';
    if (missing.length > 0)
      reasons.push(`nothing of ${tenant}'s ${missing.join(', ')} reached the backend${because}`);
  }
  if (model.gaps > 0) reasons.push(`the backend misses ${model.gaps} batches`);
  if (refused === 0)
    reasons.push("the broker was not seen to refuse one tenant's certificate the other's topic");
  if (attempts.includes('accepted')) reasons.push("the broker took a batch under another tenant's name");
  if (model.strays > 0) reasons.push(`${model.strays} rows bear a name that they should not`);
  return {
    ok: reasons.length === 0,
    reasons,
    seconds: Math.round(elapsedMs / 100) / 10,
    tenants,
    crossTenant: { attempts: attempts.length, refused, arrived: model.strays },
  };
}

/** The same for people. */
export function describeSummary({ seconds, tenants, crossTenant, reasons }: Summary): string {
  const { attempts, refused } = crossTenant;
  return [
    `In ${seconds} s, from the buses to the backend:`,
    ...tenants.flatMap(({ tenant, samples, batches, rows, verified, gaps, duplicates, devices }) => [
      `  ${tenant}: ${samples} samples, ${rows} rows of ${devices.join(', ') || 'no device'}`,
      `    ${batches} batches, ${gaps} missing, ${duplicates} twice, ${verified} as signed`,
    ]),
    `  ${refused} of ${attempts} attempts to cross tenants refused`,
    ...reasons.map((reason) => `  not well: ${reason}`),
  ].join('\n');
}

/** One line of progress, for where there is no screen. */
export function progressLine(model: DemoModel, elapsedMs: number): string {
  const parts = model.tenants.map((tenant) => {
    const { spool, samples } = tenant.status ?? {};
    return `${tenant.tenant} ${stateOf(tenant)}: ${samples?.received ?? 0} samples, ${spool?.batches ?? 0} waiting, ${tenant.rows} rows`;
  });
  return `${String(Math.round(elapsedMs / 1000)).padStart(4)} s  ${parts.join(' | ')}`;
}
