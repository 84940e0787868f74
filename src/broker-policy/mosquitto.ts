import { packetBytesMax } from '../messages/document-limits.ts';
import { topicOf } from '../messages/topic.ts';
import type { Gateway } from './roster.ts';
import { subjectRefusals } from './roster.ts';
import { everything, lines, read, written } from './policy-file.ts';
import type { PolicyWriter } from './policy-file.ts';

const aclName = 'mosquitto.acl';

/** Without these a broker that dies takes along what it acknowledged while the backend was away. */
const durability = [
  '# What is acknowledged is on disk, and waits for a backend that is away (docs/brokers.md, Durability).',
  '# persistence_location may stand once in all files: where it does not yet, add it, writable for the broker:',
  '# persistence_location /var/lib/mosquitto/',
  'persistence true',
  'autosave_interval 1',
  'autosave_on_changes true',
  '# 0: no limit. Mosquitto acknowledges what is over a limit, and throws it away.',
  'max_queued_messages 0',
  'max_queued_bytes 0',
  '# So long is kept what a backend that never comes again has not fetched.',
  'persistent_client_expiration 14d',
  '# Of what is longer the backend takes nothing. Retained, it would be written to the disk with each change.',
  `max_packet_size ${packetBytesMax}`,
  'set_tcp_nodelay true',
];

/**
 * Mosquitto 2 (mosquitto.conf(5)). `by` says what of the certificate becomes the user name: its CN, or its
 * whole subject, which tells tenants with equal CNs apart. The user name becomes the client id as well, so
 * no client takes over the session of another certificate.
 */
export function mosquitto(by: 'cn' | 'subject'): PolicyWriter {
  return (roster, directory) => {
    const nameOf = ({ gateway, subject }: Gateway): string => (by === 'cn' ? gateway : (subject ?? ''));
    const gateways = roster.gateways.flatMap((gateway) => [
      '',
      `user ${nameOf(gateway)}`,
      ...written.map(
        (channel) => `topic ${read.includes(channel) ? 'readwrite' : 'write'} ${topicOf(gateway, channel)}`,
      ),
    ]);
    const backends = roster.backends.flatMap(({ commonName, subject }) => [
      '',
      `user ${by === 'cn' ? commonName : subject}`,
      `topic read ${everything}`,
    ]);
    return {
      settings: {
        name: 'mosquitto.conf',
        text: lines(
          '# Below the TLS listener, beside its cafile, certfile, keyfile and (for revocation) crlfile:',
          'require_certificate true',
          by === 'cn' ? 'use_identity_as_username true' : 'use_subject_as_username true',
          'use_username_as_clientid true',
          'allow_anonymous false',
          `acl_file ${directory}/${aclName}`,
          ...durability,
        ),
      },
      files: [{ name: aclName, text: lines('# Who may write and read what.', ...gateways, ...backends) }],
      refusals: by === 'cn' ? [] : subjectRefusals(roster),
    };
  };
}
