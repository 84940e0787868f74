import { existsSync, readFileSync, statSync } from 'node:fs';
import { MerestoneError } from '../base/error.ts';
import type { SpoolKeyPlace } from '../base/key-place.ts';
import { ownerFolder } from '../base/state-folder.ts';
import { loadConfig } from '../config/load-config.ts';
import type { ConfigFault, GatewayOptions } from '../config/options.ts';
import { readAnchors } from '../identity/certificate-file.ts';
import { spoolKeyPlace } from '../identity/key-place.ts';
import { inspectIdentity } from '../identity/inspection.ts';
import type { SiloOptions } from '../silo/options.ts';
import { parseAuthorities } from '../uplink/authorities.ts';
import { credentialsOf } from './silo-choice.ts';

/**
 * The checks of `check`. Faults of the file itself are also refused by `run` and `reload`, with the same function
 * (`loadConfig`). Certificates, keys and CAs are separate files: they may change under a running daemon, and a fault of
 * one tenant's must not stop another's silo, so in the daemon they only affect the state of that silo.
 */
export interface Examination {
  faults: ConfigFault[];
  warnings: string[];
  silos: SiloFinding[];
  /** Undefined if the file itself has faults. */
  options: GatewayOptions | undefined;
}

export interface SiloFinding {
  name: string;
  tenant: string | null;
  gateway: string | null;
  fingerprintSha256: string;
  /** ms since 1970 UTC. */
  notAfter: number;
  daysLeft: number;
  devices: number;
  /** Null if nothing identifies the spool's tenant. */
  spoolKey: SpoolKeyPlace | null;
}

type Report = (key: string, text: string) => void;

const dayMs = 86_400_000;
/** Renewal starts weeks before the end; below this, a person should check. */
const daysLeftWarning = 30;

/** Throws FileNotFound, FileUnreadable or Io where the configuration itself cannot be read. */
export function examine(file: string, nowMs: number): Examination {
  const loaded = loadConfig(file);
  if ('faults' in loaded) return { faults: loaded.faults, warnings: [], silos: [], options: undefined };
  const { options } = loaded;
  const examination: Examination = { faults: [], warnings: [...loaded.warnings], silos: [], options };
  for (const [index, silo] of options.silos.entries()) {
    const report: Report = (key, text) => {
      examination.faults.push(loaded.faultAt(['silos', index, ...key.split('.')], text));
    };
    const finding = examineSilo(silo, nowMs, report, examination.warnings);
    examineBrokerTrust(silo, report);
    if (finding === undefined) continue;
    const twin = examination.silos.find((other) => isSameGateway(other, finding));
    if (twin) {
      report(
        'identity.certificate',
        `silo '${twin.name}' is the same gateway; give each silo a certificate of its own`,
      );
    }
    const devices = options.devices.filter((device) => device.silo === silo.name).length;
    examination.silos.push({ ...finding, devices });
  }
  examination.faults.sort((a, b) => a.line - b.line || a.column - b.column);
  return examination;
}

/** The same certificate holder: both would use one session and one stream. */
function isSameGateway(a: Omit<SiloFinding, 'devices'>, b: Omit<SiloFinding, 'devices'>): boolean {
  return a.tenant !== null && a.tenant === b.tenant && a.gateway === b.gateway;
}

function examineSilo(
  silo: SiloOptions,
  nowMs: number,
  report: Report,
  warnings: string[],
): Omit<SiloFinding, 'devices'> | undefined {
  const { name, identity } = silo;
  const blame = (text: string): void => {
    const key = (['privateKey', 'trust'] as const).find((each) => text.startsWith(`${identity[each]}:`));
    report(`identity.${key ?? 'certificate'}`, text);
  };
  try {
    const inspection = inspectIdentity(identity, nowMs);
    for (const fault of inspection.faults) blame(fault);
    for (const warning of inspection.warnings) warnings.push(`silo '${name}': ${warning}`);
    const { tenant, gateway, fingerprintSha256, notAfter } = inspection;
    const daysLeft = Math.floor((notAfter - nowMs) / dayMs);
    if (daysLeft >= 0 && daysLeft < daysLeftWarning) {
      warnings.push(`silo '${name}': its certificate has ${daysLeft} days left; renew it`);
    }
    if ((statSync(identity.privateKey, { throwIfNoEntry: false })?.mode ?? 0) & 0o077) {
      warnings.push(`silo '${name}': others may read ${identity.privateKey}; chmod 600 it`);
    }
    const spoolKey = keyPlaceOf(silo, tenant, gateway);
    return { name, tenant, gateway, fingerprintSha256, notAfter, daysLeft, spoolKey };
  } catch (error) {
    if (!(error instanceof MerestoneError)) throw error;
    blame(error.describe());
    for (const key of ['privateKey', 'trust'] as const) {
      if (!existsSync(identity[key])) {
        report(
          `identity.${key}`,
          `${identity[key]}: there is no such file; put it there, or correct the path`,
        );
      }
    }
    return undefined;
  }
}

function keyPlaceOf(silo: SiloOptions, tenant: string | null, gateway: string | null): SpoolKeyPlace | null {
  if (tenant === null || gateway === null) return null;
  const owner = { tenant, gateway };
  const spool = ownerFolder(silo.spool.directory, owner);
  return spoolKeyPlace({ spool, keys: ownerFolder(silo.keyDirectory, owner) }, credentialsOf(silo));
}

function examineBrokerTrust({ uplink }: SiloOptions, report: Report): void {
  try {
    readAnchors(uplink.ca);
    // Parsed as by the uplink, which is stricter about the layout.
    parseAuthorities(readFileSync(uplink.ca, 'latin1'), uplink.ca);
  } catch (error) {
    if (!(error instanceof MerestoneError)) throw error;
    const missing = "copy the CA certificate that issued the broker's there, in PEM, or correct the path";
    const hint = error.code === 'IdentityMissing' ? missing : (error.hint ?? missing);
    report('uplink.ca', `${error.subject ?? uplink.ca}: ${error.message}; ${hint}`);
  }
}
