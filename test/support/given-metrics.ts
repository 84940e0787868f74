import { metricsOf } from '../../src/admin/metrics.ts';
import type { GatewayStatus } from '../../src/status/status.ts';
import { type Family, parseExposition } from './exposition.ts';
import { busStatus, deviceStatus, gatewayStatus, siloStatus, troubledStatus } from './status.ts';

/** Every metric that a good or a bad day shows. */
export async function everyMetric(): Promise<Family[]> {
  const families = new Map<string, Family>();
  for (const status of [buildingStatus(), troubledStatus()]) {
    for (const family of parseExposition(await metricsOf(status, Date.now()))) {
      const known = families.get(family.name);
      if (known === undefined) families.set(family.name, family);
      else known.series.push(...family.series);
    }
  }
  return [...families.values()];
}

/** Two tenants on one bus, all good. */
export function buildingStatus(): GatewayStatus {
  return gatewayStatus({
    silos: [siloStatus('north'), siloStatus('south', { tenant: 'globex', gateway: 'globex_gw-0001' })],
    buses: [
      busStatus('rs485', {
        devices: [deviceStatus('main-meter'), deviceStatus('solar', { silo: 'south' })],
        silos: [
          { silo: 'north', busShare: 0.12, busShareMax: 0.5, held: false },
          { silo: 'south', busShare: 0.12, busShareMax: null, held: false },
        ],
      }),
    ],
  });
}
