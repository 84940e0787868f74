import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import type { webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  KeyUsageFlags,
  Name,
  PemConverter,
  X509CrlGenerator,
  X509CrlReason,
} from '@peculiar/x509';
import type { GatewayCertificate, Roster } from '../../src/broker-policy/roster.ts';
import { enroll } from '../../src/broker-policy/roster.ts';
import {
  clientAuth,
  digitalSignature,
  directory,
  dns,
  keyCertSign,
  makeAuthority,
  makeCertificate,
  name,
  nameConstraints,
  serverAuth,
  uri,
  type Holder,
  type Shape,
} from '../support/pki.ts';
import type { BrokerMaterial } from './broker.ts';

const dayMs = 86_400_000;

/**
 * Two tenants, each with a CA of its own that the broker trusts, and the attackers. The CA of a third tenant,
 * initech, is below the operator's and may name no one outside its tenant (name constraints).
 */
export interface Tenants {
  acme1: Holder;
  acme2: Holder;
  globex1: Holder;
  backend: Holder;
  /** Good certificates of acme that no policy names. */
  acmeUnlisted: Holder;
  /** Of acme_gw-0001, by its own CA: past its time, and revoked. */
  expired: Holder;
  revoked: Holder;
  /** In acme_gw-0001's name: by a CA that the broker does not trust, by globex's CA, by initech's. */
  otherUser: Holder;
  forged: Holder;
  forgedConstrained: Holder;
  /** Initech's own, as its CA may name it. */
  initech1: Holder;
  /** CN acme_gw-0001, but O globex. */
  sameCommonName: Holder;
  brokerCa: string;
  material: BrokerMaterial;
  roster: Roster;
}

export async function makeTenants(): Promise<Tenants> {
  const authority = (commonName: string, shape: Shape = {}, issuer?: Holder): Promise<Holder> =>
    makeAuthority(
      { subject: name({ CN: commonName }), keyUsages: keyCertSign | KeyUsageFlags.cRLSign, ...shape },
      issuer,
    );
  const acme = await authority('Acme CA');
  const globex = await authority('Globex CA');
  const onlyInitech = nameConstraints([directory(name({ O: 'initech' }))], []);
  const operator = await authority('Operator CA');
  const initech = await authority('Initech CA', { extensions: [onlyInitech] }, operator);
  const outsider = await authority('Acme CA');
  const backend = await makeCertificate({ subject: name({ CN: 'backend' }) }, operator);
  const server = await makeCertificate(
    {
      subject: name({ CN: 'broker' }),
      alternativeNames: [dns('localhost')],
      extendedKeyUsages: [serverAuth, clientAuth],
      keyUsages: digitalSignature,
    },
    operator,
  );
  const [acme1, acme2] = [
    await gateway(acme, 'acme', 'acme_gw-0001'),
    await gateway(acme, 'acme', 'acme_gw-0002'),
  ];
  const globex1 = await gateway(globex, 'globex', 'globex_gw-0001');
  const initech1 = withIssuer(await gateway(initech, 'initech', 'initech_gw-0001'), initech);
  const revoked = await gateway(acme, 'acme', 'acme_gw-0001');
  return {
    acme1,
    acme2,
    globex1,
    backend,
    initech1,
    revoked,
    acmeUnlisted: await gateway(acme, 'acme', 'acme_gw-0099'),
    expired: await gateway(acme, 'acme', 'acme_gw-0001', { notAfter: new Date(Date.now() - dayMs) }),
    otherUser: await gateway(outsider, 'acme', 'acme_gw-0001'),
    forged: await gateway(globex, 'acme', 'acme_gw-0001'),
    forgedConstrained: withIssuer(await gateway(initech, 'acme', 'acme_gw-0001'), initech),
    sameCommonName: await gateway(globex, 'globex', 'acme_gw-0001'),
    brokerCa: operator.certificatePem,
    material: {
      certificate: server.certificatePem,
      privateKey: server.privateKeyPem,
      trusted: [acme, globex, operator].map(({ certificatePem }) => certificatePem),
      revocations: [
        { authority: acme.certificatePem, list: await revocationList(acme, [revoked]) },
        { authority: globex.certificatePem, list: await revocationList(globex, []) },
        { authority: operator.certificatePem, list: await revocationList(operator, []) },
        { authority: initech.certificatePem, list: await revocationList(initech, []) },
      ],
    },
    roster: enroll(
      [
        listed('acme', 'acme_gw-0001', acme1),
        listed('acme', 'acme_gw-0002', acme2),
        listed('globex', 'globex_gw-0001', globex1),
        listed('initech', 'initech_gw-0001', initech1),
      ],
      [{ commonName: 'backend', subject: 'CN=backend', spiffe: null, credential: null }],
    ),
  };
}

function gateway(issuer: Holder, tenant: string, commonName: string, shape: Shape = {}): Promise<Holder> {
  const spiffe = `spiffe://edge.example/tenant/${tenant}/gateway/${commonName}`;
  return makeCertificate(
    { subject: name({ O: tenant }, { CN: commonName }), alternativeNames: [uri(spiffe)], ...shape },
    issuer,
  );
}

/** An intermediate CA's certificate is the client's to bring. */
function withIssuer(holder: Holder, issuer: Holder): Holder {
  return { ...holder, certificatePem: holder.certificatePem + issuer.certificatePem };
}

function listed(tenant: string, gateway: string, { certificatePem: pem }: Holder): GatewayCertificate {
  const path = `${gateway}.crt`;
  const subject = `CN=${gateway},O=${tenant}`;
  return { path, tenant, gateway, subject, spiffe: null, fingerprintSha256: path, pem };
}

async function revocationList(issuer: Holder, revoked: readonly Holder[]): Promise<string> {
  const signer = issuer.keys.privateKey;
  const list = await X509CrlGenerator.create({
    // To the byte: Erlang takes a name in another string type for another name.
    issuer: new Name(issuer.subject),
    thisUpdate: new Date(Date.now() - dayMs),
    nextUpdate: new Date(Date.now() + dayMs),
    entries: revoked.map(({ der }) => ({
      serialNumber: new X509Certificate(der).serialNumber,
      revocationDate: new Date(Date.now() - dayMs),
      reason: X509CrlReason.keyCompromise,
    })),
    // RFC 5280 §5.2.1
    extensions: [await AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey)],
    signingAlgorithm: { ...signer.algorithm, hash: 'SHA-256' } as webcrypto.EcdsaParams,
    signingKey: signer,
  });
  return `${PemConverter.encode(list.rawData, 'X509 CRL')}\n`;
}
