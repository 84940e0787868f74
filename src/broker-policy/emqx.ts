import { topicOf } from '../messages/topic.ts';
import { everything, lines, read, written } from './policy-file.ts';
import type { PolicyWriter } from './policy-file.ts';

const aclName = 'emqx-acl.conf';

/**
 * EMQX 5, from its documents, not run here: the CN becomes user name and client id, regardless of what the client says
 * they are, and a file of rules in Erlang terms holds each user name to its topics.
 */
export const emqx: PolicyWriter = (roster, directory) => {
  const rule = (name: string, action: string, topics: readonly string[]): string =>
    `{allow, {username, "${name}"}, ${action}, [${topics.join(', ')}]}.`;
  // `eq`: the rule is for exactly this topic or filter, so that no wildcard of a client's matches it.
  const exactly = (topic: string): string => `{eq, "${topic}"}`;
  return {
    settings: {
      name: 'emqx.conf',
      text: lines(
        '# Beside the cacertfile, certfile and keyfile of the listener; close every other listener.',
        'mqtt { peer_cert_as_username = cn, peer_cert_as_clientid = cn }',
        'listeners.ssl.default.ssl_options { verify = verify_peer, fail_if_no_peer_cert = true }',
        '# What is acknowledged is on disk, and is kept so long for a backend that is away (EMQX 5.7 or newer):',
        'durable_sessions { enable = true, message_retention_period = 14d }',
        'mqtt { session_expiry_interval = 14d, max_mqueue_len = infinity }',
        'authorization {',
        '  no_match = deny',
        '  deny_action = ignore',
        `  sources = [{ type = file, enable = true, path = "${directory}/${aclName}" }]`,
        '}',
      ),
    },
    files: [
      {
        name: aclName,
        text: lines(
          ...roster.gateways.flatMap((gateway) => [
            rule(
              gateway.gateway,
              'publish',
              written.map((channel) => exactly(topicOf(gateway, channel))),
            ),
            rule(
              gateway.gateway,
              'subscribe',
              read.map((channel) => exactly(topicOf(gateway, channel))),
            ),
          ]),
          ...roster.backends.map(({ commonName }) => rule(commonName, 'subscribe', [`"${everything}"`])),
          '{deny, all}.',
        ),
      },
    ],
    refusals: [],
  };
};
