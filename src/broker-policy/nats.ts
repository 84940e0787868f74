import { topicOf } from '../messages/topic.ts';
import type { Origin } from '../messages/topic.ts';
import { subjectRefusals } from './roster.ts';
import { lines, read, written } from './policy-file.ts';
import type { PolicyWriter } from './policy-file.ts';

/**
 * Where the server delivers a QoS 1 subscription of its own MQTT clients. Without it they cannot subscribe;
 * the name after it is the server's, made fresh and secret.
 */
const deliveries = '$MQTT.sub.>';

/**
 * NATS server with its MQTT listener (3.1.1): `verify_and_map` finds the user by the certificate's subject,
 * and its topics are subjects with dots. A user may connect by MQTT only: over the NATS protocol, where a
 * client says its own name, these users do not exist.
 */
export const nats: PolicyWriter = (roster) => {
  const gateways = roster.gateways.map((gateway) =>
    user(
      gateway.subject ?? '',
      written.map((channel) => subjectOf(gateway, channel)),
      read.map((channel) => subjectOf(gateway, channel)),
    ),
  );
  // MQTT's `t/#` is two subscriptions in NATS: what is below, and the level itself.
  const backends = roster.backends.map(({ subject }) => user(subject, [], ['t', 't.>']));
  return {
    settings: {
      name: 'nats-server.conf',
      text: lines(
        '# mqtt { tls { … verify_and_map: true } } with cert_file, key_file and ca_file; JetStream on;',
        '# in a cluster of three or more also, so that what is acknowledged outlives a server that dies:',
        '# mqtt { … stream_replicas: 3, consumer_replicas: 3 }',
        '# from NATS 2.10 on, for machines that may lose power: jetstream { … sync_interval: always }',
        '# then:',
        'include merestone-users.conf',
      ),
    },
    files: [
      {
        name: 'merestone-users.conf',
        text: lines('authorization {', '  users = [', ...gateways, ...backends, '  ]', '}'),
      },
    ],
    refusals: subjectRefusals(roster),
  };
};

function subjectOf(origin: Origin, channel: (typeof written)[number]): string {
  return topicOf(origin, channel).replaceAll('/', '.');
}

function user(name: string, publish: readonly string[], subscribe: readonly string[]): string {
  // An empty list of what is allowed would allow everything.
  const publishing = publish.length === 0 ? { deny: '>' } : { allow: publish };
  const permissions = { publish: publishing, subscribe: { allow: [...subscribe, deliveries] } };
  const entry = { user: name, permissions, allowed_connection_types: ['MQTT'] };
  return `    ${JSON.stringify(entry)}`;
}
