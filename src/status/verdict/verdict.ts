import { type GatewayStatus, type SiloStatus, withDefaults } from '../status.ts';
import { busFindings } from './bus-findings.ts';
import { type Finding, sentenceOf } from './finding.ts';
import { siloFindings } from './silo-findings.ts';

/**
 * Whether a site delivers its data. `failing`: data of a device or a tenant is not delivered, or soon will not be.
 * `degraded`: data is delivered, but something needs attention. `good`: every device gives values, every silo's
 * batches are accepted, and there is no finding.
 */
export type Verdict = 'good' | 'degraded' | 'failing';

export interface Judgement {
  verdict: Verdict;
  /** One sentence each, what fails first. */
  reasons: string[];
  /** The same in parts. */
  findings: Finding[];
}

/** The only judgement of a gateway: page, health, command, metrics and alerts all use it. */
export function judge(told: GatewayStatus): Judgement {
  const status = withDefaults(told);
  const all = [
    ...status.silos.flatMap((silo) => siloFindings(silo, status.at)),
    ...doubleTenants(status.silos),
    ...status.buses.flatMap(busFindings),
    ...nothingToRead(status),
  ];
  const failing = all.filter(({ verdict }) => verdict === 'failing');
  const degraded = all.filter(({ verdict }) => verdict === 'degraded');
  const findings = [...failing, ...degraded];
  return { verdict: worst(findings), reasons: findings.map(sentenceOf), findings };
}

/** The status with its verdict, as the daemon tells it. */
export function judged(status: GatewayStatus): GatewayStatus & Judgement {
  return { ...judge(status), ...status };
}

function worst(findings: readonly Finding[]): Verdict {
  return findings[0]?.verdict ?? 'good';
}

/** A tenant has one silo on a box: if two claim one tenant, one of them is wrong or lies. */
function doubleTenants(silos: readonly SiloStatus[]): Finding[] {
  const named = silos.filter(({ tenant }) => tenant !== null);
  return [...Map.groupBy(named, ({ tenant }) => tenant)]
    .filter(([, claimants]) => claimants.length > 1)
    .map(([tenant, claimants]) => {
      const names = claimants.map(({ name }) => name);
      return {
        verdict: 'failing',
        kind: 'double-tenant',
        who: `silos ${names.join(' and ')}`,
        what: `say that they are of one tenant, ${tenant}`,
        remedy: 'give each silo the certificate of its own tenant, or put their devices into one silo',
        silos: names,
      };
    });
}

function nothingToRead({ buses, silos }: GatewayStatus): Finding[] {
  if (buses.some(({ devices }) => devices.length > 0)) return [];
  return [
    {
      verdict: 'degraded',
      kind: 'nothing-to-read',
      who: 'this gateway',
      what: 'reads nothing: no device is configured',
      remedy: "add its buses and devices to the configuration, and 'merestone reload'",
      silos: silos.map(({ name }) => name),
    },
  ];
}
