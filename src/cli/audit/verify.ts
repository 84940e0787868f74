import { ExitCode } from '../../base/exit-code.ts';
import { plainDocument } from '../../base/plain-text.ts';
import { readAnchors } from '../../identity/certificate-file.ts';
import { verifyAudit, type AuditVerificationResult } from '../../audit/audit-verification.ts';
import type { Command } from '../command.ts';
import { print, printJson, styler } from '../output.ts';
import { auditPlaces, siloOption, type PlaceArguments } from './audit-place.ts';

const command: Command<PlaceArguments & { trust: string | undefined }> = {
  command: 'verify [folder]',
  describe:
    'whether an audit log is whole and unchanged, and who signed it; what is wrong with it, and where',
  builder: (yargs) =>
    yargs
      .positional('folder', { type: 'string', describe: 'a log by itself, not by the configuration' })
      .options({
        silo: siloOption,
        trust: { type: 'string', requiresArg: true, describe: 'CAs that the signers must chain to' },
      }),
  handler: async (args) => {
    const logs = [];
    for (const { silo, directory, trust, mustBe } of auditPlaces(args)) {
      const anchors = args.trust ?? trust;
      const known = anchors === null ? undefined : readAnchors(anchors);
      const result = await verifyAudit(directory, known, { mustBe });
      logs.push({ silo, directory, ...result });
    }
    const good = logs.every((log) => log.good);
    if (!good) process.exitCode = ExitCode.Io;
    if (args.json) return await printJson({ good, logs });
    for (const log of logs) await print(describeResult(plainDocument(log)));
  },
};
export default command;

function describeResult(log: AuditVerificationResult & { directory: string }): string {
  const paint = styler();
  const { good, directory, tenant, gateway, entries, seqFrom, seqTo, signatures, signedSeq, unsigned } = log;
  const whose = tenant === null ? 'no identity' : `tenant ${tenant}, gateway ${gateway}`;
  const range = seqFrom === null ? 'no entries' : `${entries} entries, ${seqFrom} to ${seqTo}`;
  const signed =
    signedSeq === null ? 'unsigned' : `${signatures} signatures, up to ${signedSeq}, ${unsigned} after`;
  const result = good ? paint('green', 'good') : paint('red', 'not good');
  const findings = log.findings.map(({ severity, file, line, message }) =>
    paint(severity === 'fault' ? 'red' : 'yellow', `${file}:${line}: ${message}`),
  );
  return [`${directory}: ${result}: ${whose}; ${range}; ${signed}`, ...findings].join('\n');
}
