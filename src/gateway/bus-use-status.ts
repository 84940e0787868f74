import type { BusStatus, SiloStatus } from '../status/status.ts';

/** A silo's status with its share of the bus that it uses most, which only the gateway knows. */
export function withBusUse(silo: SiloStatus, buses: readonly BusStatus[]): SiloStatus {
  const shares = buses.flatMap((bus) => bus.silos.filter((each) => each.silo === silo.name));
  const used = Math.max(0, ...shares.map(({ busShare }) => busShare));
  const quotas = silo.quotas.map((each) => (each.quota === 'bus-share' ? { ...each, used } : each));
  return { ...silo, quotas };
}
