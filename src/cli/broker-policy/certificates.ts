import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { enroll } from '../../broker-policy/roster.ts';
import type { BackendCertificate, GatewayCertificate, Roster } from '../../broker-policy/roster.ts';
import { MerestoneError } from '../../base/error.ts';
import { readAnchors, readCertificates } from '../../identity/certificate-file.ts';
import { orderChain } from '../../identity/chain-order.ts';
import type { Certificate } from '../../identity/certificate.ts';
import { checkTime, findChain } from '../../identity/certificate-chain.ts';
import { readClaim } from '../../identity/certificate-profile.ts';

const certificateExtensions: ReadonlySet<string> = new Set(['.crt', '.cer', '.pem']);

/** Object identifiers of the two attributes that a subject may have here. */
const attributeNames: ReadonlyMap<string, string> = new Map([
  ['2.5.4.10', 'O'],
  ['2.5.4.3', 'CN'],
]);

interface Sources {
  certificates: string;
  backend: readonly string[];
  trust: string | undefined;
}

/**
 * Reads every certificate of a folder. CAs and expired certificates are left out, with a remark; one that does
 * not identify one gateway is refused. Throws FileNotFound, Usage.
 */
export function readRoster(
  sources: Sources,
  nowMs: number,
): Roster & { refusals: string[]; remarks: string[] } {
  const anchors = sources.trust === undefined ? undefined : readAnchors(sources.trust);
  const backends = new Map(sources.backend.map((name) => [name, backendNamed(name)]));
  const gateways: GatewayCertificate[] = [];
  const refusals: string[] = [];
  const remarks: string[] = [];
  for (const path of pathsIn(sources.certificates)) {
    try {
      if (!readFileSync(path, 'latin1').includes('BEGIN CERTIFICATE')) {
        remarks.push(`${path}: left out: no certificate in PEM`);
        continue;
      }
      const [leaf, ...intermediates] = orderChain(readCertificates(path));
      const expired = nowMs > leaf.notAfter;
      if (leaf.isAuthority || expired) {
        remarks.push(`${path}: left out: ${expired ? 'its time is over' : "a CA's certificate"}`);
        continue;
      }
      checkTime(leaf, nowMs);
      if (anchors !== undefined) findChain(leaf, intermediates, anchors, nowMs);
      const backend = backends.get(backendNameOf(leaf) ?? '');
      if (backend === undefined) gateways.push(gatewayOf(leaf));
      else {
        backend.spiffe = spiffeOf(leaf);
        backend.credential = credentialOf(leaf);
      }
    } catch (error) {
      if (!(error instanceof MerestoneError)) throw error;
      refusals.push(error.describe());
    }
  }
  const roster = enroll(gateways, [...backends.values()]);
  if (roster.gateways.length === 0 && refusals.length === 0) {
    throw new MerestoneError('FileNotFound', "there is no gateway's certificate in this folder", {
      subject: sources.certificates,
      hint: 'put their .crt files there; their keys are not needed',
    });
  }
  return { ...roster, refusals: [...refusals, ...roster.refusals], remarks };
}

function pathsIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && certificateExtensions.has(extname(entry.name)))
      .map((entry) => join(folder, entry.name))
      .sort();
  } catch (cause) {
    throw new MerestoneError('FileNotFound', 'the folder cannot be read', {
      subject: folder,
      hint: 'name the folder that holds the certificates',
      cause,
    });
  }
}

/** Used in configuration files and, as a client id, in patterns: only characters without meaning there. */
function backendNamed(commonName: string): BackendCertificate {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(commonName)) {
    throw new MerestoneError('Usage', `--backend '${commonName}' is not 1 to 64 of A-Z a-z 0-9 _ -`, {
      hint: 'name the CN of its certificate',
    });
  }
  return { commonName, subject: `CN=${commonName}`, spiffe: null, credential: null };
}

/** A backend belongs to no tenant: a certificate with an O is a gateway's, with any CN. */
function backendNameOf({ subject }: Certificate): string | undefined {
  const [attribute, ...more] = subject.flat();
  const named = attribute !== undefined && attributeNames.get(attribute.type) === 'CN';
  return named && more.length === 0 ? attribute.value.toString('utf8') : undefined;
}

function gatewayOf(leaf: Certificate): GatewayCertificate {
  const { tenantId: tenant, gatewayId: gateway } = readClaim(leaf);
  const { path } = leaf;
  return { path, tenant, gateway, subject: subjectOf(leaf), spiffe: spiffeOf(leaf), ...credentialOf(leaf) };
}

/** RFC 4514 §2.1: the last part first. Values are ids, in which nothing needs escaping. */
function subjectOf({ subject }: Certificate): string | null {
  const parts = subject.flat().map(({ type, value }) => [attributeNames.get(type), value.toString('utf8')]);
  if (parts.some(([name]) => name === undefined)) return null;
  return parts
    .map(([name, value]) => `${name}=${value}`)
    .toReversed()
    .join(',');
}

function spiffeOf({ alternativeNames }: Certificate): string | null {
  return alternativeNames.find(({ uri }) => uri?.startsWith('spiffe:'))?.uri ?? null;
}

function credentialOf({ fingerprintSha256, x509 }: Certificate): { fingerprintSha256: string; pem: string } {
  return { fingerprintSha256, pem: x509.toString() };
}
