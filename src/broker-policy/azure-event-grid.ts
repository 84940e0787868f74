import { everything, json, read, written } from './policy-file.ts';
import type { PolicyWriter } from './policy-file.ts';
import type { Credential } from './roster.ts';

/** A client may have a certificate and the next one, and a name of at most this many characters. */
const thumbprintsMax = 2;
const nameLengthMax = 128;

interface Client {
  /** For people: whose it is. */
  label: string;
  spiffe: string | null;
  credentials: readonly Credential[];
  attributes: Record<string, string>;
}

/**
 * Azure Event Grid's MQTT broker, from its documents, not run here: an ARM template of clients known by the
 * thumbprints of their certificates, and of topic spaces whose variables are attributes set here, not by the
 * client. A client that sends no user name is found by the SPIFFE URI in its certificate.
 */
export const azureEventGrid: PolicyWriter = (roster) => {
  const clients: Client[] = [
    ...roster.gateways.map(({ tenant, gateway, spiffe, credentials }) => ({
      label: `tenant ${tenant}, gateway ${gateway}`,
      spiffe,
      credentials,
      attributes: { role: 'gateway', tenant, gateway },
    })),
    ...roster.backends.map(({ commonName, spiffe, credential }) => ({
      label: `backend '${commonName}'`,
      spiffe,
      credentials: credential === null ? [] : [credential],
      attributes: { role: 'backend', name: commonName },
    })),
  ];
  const own = (channel: string): string =>
    `t/\${client.attributes.tenant}/\${client.attributes.gateway}/${channel}`;
  return {
    settings: null,
    files: [
      {
        name: 'azure-event-grid.json',
        text: json({
          $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
          contentVersion: '1.0.0.0',
          parameters: { namespace: { type: 'string' } },
          resources: [
            ...clients.map(clientResource),
            resource('clientGroups', 'gateways', { query: "attributes.role = 'gateway'" }),
            resource('clientGroups', 'backends', { query: "attributes.role = 'backend'" }),
            resource('topicSpaces', 'own-topics', { topicTemplates: written.map(own) }),
            resource('topicSpaces', 'own-read', { topicTemplates: read.map(own) }),
            resource('topicSpaces', 'all-topics', { topicTemplates: [everything] }),
            binding('gateways', 'Publisher', 'own-topics'),
            binding('gateways', 'Subscriber', 'own-read'),
            binding('backends', 'Subscriber', 'all-topics'),
          ],
        }),
      },
    ],
    refusals: clients.flatMap(clientRefusals),
  };
};

function clientRefusals({ label, spiffe, credentials }: Client): string[] {
  const refusals: string[] = [];
  if (credentials.length === 0) refusals.push('put its certificate among those of --certificates');
  else if (spiffe === null) refusals.push('its certificate has no SPIFFE URI to be found by');
  if ((spiffe?.length ?? 0) > nameLengthMax) {
    refusals.push(`its SPIFFE URI has more than ${nameLengthMax} characters`);
  }
  if (credentials.length > thumbprintsMax) {
    refusals.push(`it has ${credentials.length} certificates, and ${thumbprintsMax} may be known at a time`);
  }
  return refusals.map((refusal) => `${label}: ${refusal} (Azure Event Grid)`);
}

function clientResource({ spiffe, credentials, attributes }: Client): object {
  return resource('clients', attributes['gateway'] ?? attributes['name']!, {
    authenticationName: spiffe,
    state: 'Enabled',
    clientCertificateAuthentication: {
      validationScheme: 'ThumbprintMatch',
      allowedThumbprints: credentials.map(({ fingerprintSha256 }) => fingerprintSha256.toUpperCase()),
    },
    attributes,
  });
}

function binding(
  clientGroupName: string,
  permission: 'Publisher' | 'Subscriber',
  topicSpaceName: string,
): object {
  const properties = { clientGroupName, permission, topicSpaceName };
  return {
    ...resource('permissionBindings', `${clientGroupName}-${permission.toLowerCase()}`, properties),
    dependsOn: [idOf('clientGroups', clientGroupName), idOf('topicSpaces', topicSpaceName)],
  };
}

function resource(kind: string, name: string, properties: object): object {
  return {
    type: `Microsoft.EventGrid/namespaces/${kind}`,
    apiVersion: '2025-02-15',
    name: `[concat(parameters('namespace'), '/${name}')]`,
    properties,
  };
}

function idOf(kind: string, name: string): string {
  return `[resourceId('Microsoft.EventGrid/namespaces/${kind}', parameters('namespace'), '${name}')]`;
}
