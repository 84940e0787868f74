import { writeFileSync } from 'node:fs';
import { MerestoneError } from '../../base/error.ts';
import type { Command } from '../command.ts';
import { print, printJson, remark } from '../output.ts';
import { siloOf } from '../silo-choice.ts';

interface RequestArguments {
  tenant: string;
  gateway: string;
  'trust-domain': string | undefined;
  silo: string | undefined;
  'private-key': string | undefined;
  output: string | undefined;
}

const command: Command<RequestArguments> = {
  command: 'request',
  describe: 'make a key, and a certificate request (CSR) for the CA to answer',
  builder: {
    tenant: { type: 'string', demandOption: true, requiresArg: true, describe: 'O that is asked for' },
    gateway: {
      type: 'string',
      demandOption: true,
      requiresArg: true,
      describe: 'CN that is asked for; TENANT_NAME, so that no two tenants share one',
    },
    'trust-domain': {
      type: 'string',
      requiresArg: true,
      describe: 'ask for a SPIFFE URI in this trust domain too',
    },
    silo: { type: 'string', requiresArg: true, describe: 'whose key it is, where there are several silos' },
    'private-key': {
      type: 'string',
      requiresArg: true,
      describe: "where the new key goes; by default where the silo's configuration wants it",
    },
    output: { type: 'string', requiresArg: true, describe: 'write the request here, not to standard output' },
  },
  handler: async (args) => {
    const { createRequest } = await import('../../identity/certificate-request.ts');
    const path = args['private-key'] ?? siloOf(args.config, args.silo).identity.privateKey;
    const { tenant, gateway, 'trust-domain': trustDomain } = args;
    const { privateKeyPem, requestPem } = await createRequest({ tenant, gateway, trustDomain });
    if (args.output !== undefined) writeNew(args.output, requestPem, 0o644);
    writeNew(path, privateKeyPem, 0o600);
    if (args.json) await printJson({ privateKey: path, request: requestPem });
    else if (args.output === undefined) await print(requestPem);
    remark(`the key is in ${path}; have the CA answer the request, then: merestone identity install`);
  },
};
export default command;

/** Never overwrites a file: it might be the only copy of a key in use. */
function writeNew(path: string, text: string, mode: number): void {
  try {
    writeFileSync(path, text, { mode, flag: 'wx', flush: true });
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    throw new MerestoneError('Io', exists ? 'there is a file already' : (cause as Error).message, {
      subject: path,
      hint: exists
        ? 'name another with --private-key or --output; identity install then takes the new key along'
        : 'name a place that can be written',
      cause,
    });
  }
}
