import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { systemClock } from '../../base/clock.ts';
import { MerestoneError } from '../../base/error.ts';
import { plain } from '../../base/plain-text.ts';
import type { IdentityOptions } from '../../identity/options.ts';
import type { Command } from '../command.ts';
import { print, printJson, remark } from '../output.ts';
import { siloOf } from '../silo-choice.ts';

interface InstallArguments {
  files: string[];
  silo: string | undefined;
  certificate: string | undefined;
  'private-key': string | undefined;
  trust: string | undefined;
  'password-file': string | undefined;
  'new-holder': boolean;
}

const command: Command<InstallArguments> = {
  command: 'install <files..>',
  describe:
    'put a certificate in place (PEM, DER, PKCS#7 or PKCS#12, with intermediates and key), once it is verified',
  builder: (yargs) =>
    yargs
      .positional('files', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'what the CA sent, and the key where it is new',
      })
      .options({
        silo: { type: 'string', requiresArg: true, describe: 'whose it is, where there are several silos' },
        certificate: {
          type: 'string',
          requiresArg: true,
          describe: 'put the certificate here, not by the configuration',
        },
        'private-key': { type: 'string', requiresArg: true, describe: '… and the key here' },
        trust: { type: 'string', requiresArg: true, describe: '… once these CAs vouch for it' },
        'password-file': {
          type: 'string',
          requiresArg: true,
          describe: 'password of PKCS#12; - reads standard input',
        },
        'new-holder': {
          type: 'boolean',
          default: false,
          describe: 'it is meant that it names another tenant or gateway than before',
        },
      }),
  handler: async (args) => {
    const { installIdentity } = await import('../../identity/installation.ts');
    const target = targetOf(args);
    const { loaded, replaced } = installIdentity({
      target,
      sources: args.files,
      password: readPassword(args['password-file']),
      newHolder: args['new-holder'],
      nowMs: systemClock.wallMs(),
    });
    const { tenantId, gatewayId, fingerprintSha256, notAfter, warnings } = loaded.identity;
    if (args.json) {
      return await printJson({
        ...target,
        tenant: tenantId,
        gateway: gatewayId,
        fingerprintSha256,
        notAfter,
        replaced,
      });
    }
    for (const warning of warnings) remark(warning);
    for (const path of replaced) remark(`the one before is kept as ${path}.old`);
    const until = new Date(notAfter).toISOString().slice(0, 10);
    await print(plain(`${target.certificate}: tenant ${tenantId}, gateway ${gatewayId}, valid to ${until}`));
  },
};
export default command;

function targetOf(args: InstallArguments & { config: string }): IdentityOptions {
  const { certificate, 'private-key': privateKey, trust } = args;
  if (certificate !== undefined && privateKey !== undefined && trust !== undefined) {
    return { certificate, privateKey, trust };
  }
  if (certificate === undefined && privateKey === undefined && trust === undefined) {
    return siloOf(args.config, args.silo).identity;
  }
  throw new MerestoneError('Usage', '--certificate, --private-key and --trust go together', {
    hint: 'give all three, or none and let the configuration say',
  });
}

function readPassword(path: string | undefined): string {
  if (path === undefined) return '';
  try {
    return passwordOf(readFileSync(path === '-' ? 0 : path));
  } catch (cause) {
    throw new MerestoneError('FileUnreadable', `the password cannot be read: ${(cause as Error).message}`, {
      subject: path,
      cause,
    });
  }
}

/** One line of text. Editors of Windows mark UTF-8, or write UTF-16; older files are Latin-1. */
function passwordOf(bytes: Buffer): string {
  const isUtf16 = bytes[0] === 0xff && bytes[1] === 0xfe;
  const text = isUtf16
    ? bytes.toString('utf16le', 2)
    : isUtf8(bytes)
      ? bytes.toString('utf8')
      : bytes.toString('latin1');
  return text.replace(/^\ufeff/, '').replace(/\r?\n$/, '');
}
