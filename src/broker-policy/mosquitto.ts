import { topicOf } from '../messages/topic.ts';
import type { Gateway } from './roster.ts';
import { subjectRefusals } from './roster.ts';
import { everything, lines, read, written } from './policy-file.ts';
import type { PolicyWriter } from './policy-file.ts';

const aclName = 'mosquitto.acl';

/**
 * Mosquitto 2 (mosquitto.conf(5)). `by` says what of the certificate becomes the user name: its CN, or its
 * whole subject, which tells tenants with equal CNs apart. The user name becomes the client id as well, so
 * nobody takes over the session of another certificate.
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
        ),
      },
      files: [{ name: aclName, text: lines('# Who may write and read what.', ...gateways, ...backends) }],
      refusals: by === 'cn' ? [] : subjectRefusals(roster),
    };
  };
}
