import { topicOf } from '../messages/topic.ts';
import type { Channel, Origin } from '../messages/topic.ts';
import type { Gateway } from './roster.ts';
import { subjectRefusals } from './roster.ts';
import { json, lines, read, written } from './policy-file.ts';
import type { PolicyWriter } from './policy-file.ts';

const vhost = '/';
/** The exchange that the MQTT plugin publishes to, and its topics are routing keys with dots. */
const exchange = 'amq.topic';
const definitionsName = 'rabbitmq-definitions.json';
/** 14 days. */
const keptMs = 14 * 86_400_000;
/** What no name matches. */
const nothing = '^$';

/** Of a cluster: what was acknowledged is on every node, so that a session outlives the one that it began on. */
const mirrored = {
  vhost,
  name: 'merestone-durability',
  pattern: '^mqtt-subscription-',
  'apply-to': 'queues',
  definition: { 'ha-mode': 'all', 'ha-sync-mode': 'automatic', 'ha-promote-on-failure': 'when-synced' },
  priority: 0,
};

interface Permission {
  configure: string;
  write: string;
  read: string;
}

/**
 * RabbitMQ with rabbitmq_mqtt and rabbitmq_auth_mechanism_ssl: a user per subject, without a password, so that
 * a claimed user name opens nothing. A subscription is a queue named after the client id; a gateway may touch
 * none but the one of its own (its CN), so another's client id opens no other's messages.
 */
export const rabbitmq: PolicyWriter = (roster, directory) => {
  const users = [...roster.gateways, ...roster.backends].map(({ subject }) => subject ?? '');
  return {
    settings: {
      name: 'rabbitmq.conf',
      text: lines(
        '# Beside ssl_options.cacertfile, certfile, keyfile and mqtt.listeners.ssl.default;',
        '# with the plugins rabbitmq_mqtt and rabbitmq_auth_mechanism_ssl enabled:',
        'ssl_options.verify = verify_peer',
        'ssl_options.fail_if_no_peer_cert = true',
        'ssl_cert_login_from = distinguished_name',
        'mqtt.ssl_cert_login = true',
        'mqtt.allow_anonymous = false',
        'mqtt.listeners.tcp = none',
        `mqtt.vhost = ${vhost}`,
        `mqtt.exchange = ${exchange}`,
        `load_definitions = ${directory}/${definitionsName}`,
        '# So long, in ms, is kept what a backend that is away has not fetched; RabbitMQ has one day by itself. It',
        '# holds for new subscriptions: delete the queue of an older one, once it is empty (docs/brokers.md, Durability).',
        `mqtt.subscription_ttl = ${keptMs}`,
      ),
    },
    files: [
      {
        name: definitionsName,
        text: json({
          vhosts: [{ name: vhost }],
          policies: [mirrored],
          users: users.map((name) => ({ name, password_hash: '', tags: [] })),
          permissions: [
            ...roster.gateways.map((gateway) => ({
              user: gateway.subject,
              vhost,
              ...resources(`mqtt-subscription-${gateway.gateway}qos[01]`),
            })),
            ...roster.backends.map(({ subject }) => ({
              user: subject,
              vhost,
              ...resources('mqtt-subscription-.+qos[01]'),
            })),
          ],
          topic_permissions: [
            ...roster.gateways.map((gateway) => ({
              user: gateway.subject,
              vhost,
              exchange,
              write: topics(gateway, written),
              read: topics(gateway, read),
            })),
            ...roster.backends.map(({ subject }) => ({
              user: subject,
              vhost,
              exchange,
              write: nothing,
              read: '^t\\..*',
            })),
          ],
        }),
      },
    ],
    refusals: subjectRefusals(roster),
  };
};

function resources(queue: string): Permission {
  const either = `^(${queue}|amq\\.topic)$`;
  return { configure: `^${queue}$`, write: either, read: either };
}

/** Ids hold nothing that means something in a regular expression (segment.ts). */
function topics(origin: Origin | Gateway, channels: readonly Channel[]): string {
  const keys = channels.map((channel) => topicOf(origin, channel).replaceAll('/', '\\.'));
  return `^(${keys.join('|')})$`;
}
