import { reportOn } from '../../backend/report.ts';
import { MerestoneError } from '../../base/error.ts';
import { ExitCode } from '../../base/exit-code.ts';
import { isSegment } from '../../messages/segment.ts';
import { formatReport } from './report-text.ts';
import type { Command } from '../command.ts';
import { loadGatewayTrust } from '../gateway-trust.ts';
import { logName, monthsRemoved, many, needed, text } from '../option.ts';
import { print, printJson } from '../output.ts';
import { instant, month } from './instant.ts';
import { publicKeys } from './public-keys.ts';

interface ReportArguments {
  tenant: string;
  certificate: string | undefined;
  evidence: string;
  trust: string[];
  from: string;
  to: string | undefined;
  heads: string | undefined;
  key: string[];
  'log-name': string;
  'removed-before': string | undefined;
}

const report: Command<ReportArguments> = {
  command: 'report',
  describe: 'what a certificate could reach and did, from the evidence that consume kept',
  builder: (yargs) =>
    yargs.parserConfiguration({ 'duplicate-arguments-array': true }).options({
      tenant: needed('whose evidence'),
      certificate: text('SHA-256 of one certificate; left out: all of the tenant’s'),
      evidence: needed('the folder that consume was given as --evidence'),
      trust: { ...many('CA of the gateways: FILE, or TENANT=FILE; may be repeated'), demandOption: true },
      from: { ...text('since when: 2026-11-01 or 2026-11-01T12:00:00Z'), default: '1970-01-01' },
      to: text('until when; left out: now'),
      heads: text('the file that consume was given as --heads: what it has must be in the evidence'),
      key: many(
        'a public key that may have signed: NAME+ID+KEY, as --heads begins, or a PEM file; may be repeated',
      ),
      'log-name': logName,
      'removed-before': monthsRemoved,
    }),
  handler: run,
};

export default report;

async function run(args: ReportArguments & { json: boolean }): Promise<void> {
  const { tenant, evidence } = args;
  if (!isSegment(tenant)) throw new MerestoneError('Usage', `'${tenant}' is no tenant`);
  const from = instant(args.from, 'from');
  const to = args.to === undefined ? Date.now() : instant(args.to, 'to');
  const certificate = args.certificate === undefined ? undefined : fingerprint(args.certificate);
  const vouchFor = loadGatewayTrust(args.trust);
  const { heads, 'log-name': log } = args;
  const removedBefore = month(args['removed-before'], 'removed-before');
  const keys = publicKeys(args.key);
  const found = await reportOn(evidence, {
    tenant,
    certificate,
    from,
    to,
    vouchFor,
    heads,
    keys,
    log,
    removedBefore,
  });
  if (args.json) await printJson(found);
  else await print(formatReport(found));
  if (found.damaged.length > 0) process.exitCode = ExitCode.Io;
}

/** As `openssl x509 -fingerprint -sha256` prints it, or plain hex. */
function fingerprint(text: string): string {
  const hex = text.replace(/^.*=/, '').replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new MerestoneError('Usage', `--certificate '${text}' is no SHA-256 fingerprint`, {
    hint: 'write what openssl x509 -fingerprint -sha256 -noout prints, 64 hex digits',
  });
}
