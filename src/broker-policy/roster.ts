import type { Origin } from '../messages/topic.ts';

/** A certificate that stands for a gateway or a backend. */
export interface Credential {
  /** Of the DER, 64 hex digits. */
  fingerprintSha256: string;
  pem: string;
}

export interface GatewayCertificate extends Origin, Credential {
  /** The file it came from, for the refusals. */
  path: string;
  /** As RFC 4514 writes it, `CN=acme_gw-0001,O=acme`; null where it has parts besides O and CN. */
  subject: string | null;
  spiffe: string | null;
}

export interface BackendCertificate {
  commonName: string;
  /** As RFC 4514 writes it. */
  subject: string;
  spiffe: string | null;
  /** Null where its certificate was not among those given. */
  credential: Credential | null;
}

/** One gateway with all its certificates: around a renewal it has two. */
export interface Gateway extends Origin {
  subject: string | null;
  spiffe: string | null;
  credentials: readonly Credential[];
}

/** Whom a broker has to know: gateways by tenant and CN, and the certificates that may read them all. */
export interface Roster {
  gateways: readonly Gateway[];
  backends: readonly BackendCertificate[];
}

/**
 * Puts certificates together by whom they name. `refusals` says which cannot be told apart by a broker: the
 * CN is the client id and, for many brokers, the user name, so one CN must not stand for two.
 */
export function enroll(
  certificates: readonly GatewayCertificate[],
  backends: readonly BackendCertificate[],
): Roster & { refusals: string[] } {
  const byCommonName = Map.groupBy(certificates, ({ gateway }) => gateway);
  const refusals: string[] = [];
  const gateways: Gateway[] = [];
  for (const [commonName, same] of byCommonName) {
    const tenants = [...new Set(same.map(({ tenant }) => tenant))].sort();
    const paths = same.map(({ path }) => path).join(', ');
    if (tenants.length > 1) {
      refusals.push(
        `${paths}: CN '${commonName}' stands for gateways of several tenants (${tenants.join(', ')}), and a ` +
          `broker that knows clients by CN would take one for the other; have them issued as TENANT_NAME`,
      );
    }
    if (backends.some((backend) => backend.commonName === commonName)) {
      refusals.push(
        `${paths}: CN '${commonName}' is a backend's too, which may read every tenant; give it another`,
      );
    }
    const [first] = same;
    const { tenant, gateway, subject, spiffe } = first!;
    if (same.some((each) => each.tenant === tenant && each.subject !== subject)) {
      refusals.push(
        `${paths}: these certificates of '${commonName}' differ in their subjects; keep one form`,
      );
    }
    const credentials = new Map(
      same.map(({ fingerprintSha256, pem }) => [fingerprintSha256, { fingerprintSha256, pem }]),
    );
    gateways.push({ tenant, gateway, subject, spiffe, credentials: [...credentials.values()] });
  }
  const order = ({ tenant, gateway }: Origin): string => `${tenant}/${gateway}`;
  gateways.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  return { gateways, backends, refusals };
}

/** What keeps a broker that reads the whole subject from knowing these gateways. */
export function subjectRefusals({ gateways }: Roster): string[] {
  return gateways
    .filter(({ subject }) => subject === null)
    .map(
      ({ tenant, gateway }) =>
        `tenant ${tenant}, gateway ${gateway}: the subject has parts besides O and CN, which brokers write in ` +
        'different ways; have it issued with these two',
    );
}
