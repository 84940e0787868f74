import { isIP } from 'node:net';
import { faultError, MerestoneError } from '../base/error.ts';
import { hostFault } from '../base/host.ts';

/** Tenants' data leaves the machine by TLS only, with the server's name checked. */
export function checkedUrl(url: string): string {
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url)) {
    throw new MerestoneError('Usage', 'the address given as --postgres is not a PostgreSQL URL', {
      hint: 'write postgres://USER@HOST/DATABASE, with the password in PGPASSWORD',
    });
  }
  const { hostname, searchParams } = new URL(url);
  const host = searchParams.get('host') ?? hostname;
  const bare = host.replace(/^\[|\]$/g, '');
  const fault = bare === '' || bare.startsWith('/') ? undefined : hostFault(bare);
  if (fault !== undefined) throw faultError('Usage', `--postgres: ${fault}`);
  const local =
    bare === '' ||
    bare.startsWith('/') ||
    bare === 'localhost' ||
    (isIP(bare) !== 0 && /^(127\.|::1$)/.test(bare));
  if (local || searchParams.get('sslmode') === 'verify-full') return url;
  throw new MerestoneError(
    'Usage',
    `${host} is another machine, and the connection to it would not be held to TLS`,
    {
      hint: 'add ?sslmode=verify-full&sslrootcert=/path/of/its/ca.crt to --postgres',
    },
  );
}
