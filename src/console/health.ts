import type { GatewayStatus, SiloStatus, SpoolStatus } from '../reading/status.ts';

/** Whether a person should look, and at what. */
export interface Health {
  healthy: boolean;
  /** One sentence each; silos, then buses. */
  reasons: string[];
}

/** A spool this full will soon give up data. */
const spoolFullShare = 0.9;

/**
 * Healthy is: every silo has its identity and its broker, every bus its line, and no spool is about to give
 * up data. A device that does not answer is the device's health, and stands in status and metrics.
 */
export function healthOf(status: GatewayStatus): Health {
  const reasons = [
    ...status.silos.flatMap(siloReasons),
    ...doubleTenants(status.silos),
    ...status.buses
      .filter(({ state }) => state !== 'open')
      .map(({ name, state, reason }) => sentence(`bus ${name} is ${state}`, reason)),
  ];
  return { healthy: reasons.length === 0, reasons };
}

function siloReasons({ name, state, reason, uplink, spool }: SiloStatus): string[] {
  if (state !== 'running') return [sentence(`silo ${name} is ${state}`, reason)];
  const reasons: string[] = [];
  if (spool !== null && fullness(spool) >= spoolFullShare) {
    reasons.push(`silo ${name}: its spool is ${Math.round(fullness(spool) * 100)} % full`);
  }
  if (uplink === null) reasons.push(`silo ${name} has no uplink yet`);
  else if (uplink.state !== 'online')
    reasons.push(sentence(`silo ${name}: its uplink is ${uplink.state}`, uplink.reason));
  return reasons;
}

/** A silo is all that a tenant has on this box: of two that claim one tenant, one is wrong or lies. */
function doubleTenants(silos: readonly SiloStatus[]): string[] {
  const named = silos.filter(({ tenant }) => tenant !== null);
  return [...Map.groupBy(named, ({ tenant }) => tenant)]
    .filter(([, claimants]) => claimants.length > 1)
    .map(([tenant, claimants]) => {
      const names = claimants.map(({ name }) => name).join(' and ');
      return `silos ${names} say that they are of one tenant, ${tenant}`;
    });
}

function fullness({ bytesInUse, bytesMax }: SpoolStatus): number {
  return bytesMax > 0 ? bytesInUse / bytesMax : 0;
}

function sentence(what: string, reason: string | null): string {
  return reason === null ? what : `${what}: ${reason}`;
}
