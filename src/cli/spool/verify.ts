import { ExitCode } from '../../base/exit-code.ts';
import { plainDocument } from '../../base/plain-text.ts';
import type { SpoolVerificationResult } from '../../spool/offline/spool-verification.ts';
import type { Command } from '../command.ts';
import { print, printJson, styler } from '../output.ts';
import {
  folderOption,
  keysOption,
  openSpool,
  siloOption,
  spoolPlaces,
  type PlaceArguments,
} from './spool-place.ts';

const command: Command<PlaceArguments> = {
  command: 'verify [folder]',
  describe: 'opens every seal and walks the chain: what is wrong, and where; changes nothing',
  builder: (yargs) =>
    yargs.positional('folder', folderOption).options({ silo: siloOption, keys: keysOption }),
  handler: async (args) => {
    const spools = [];
    for (const place of spoolPlaces(args)) {
      using spool = (await openSpool(place)).spool;
      spools.push({ silo: place.silo ?? null, directory: place.directory, ...spool.verify() });
    }
    const good = spools.every((spool) => spool.good);
    if (!good) process.exitCode = ExitCode.Io;
    if (args.json) return printJson({ good, spools });
    for (const spool of spools) await print(describe(plainDocument(spool)));
  },
};
export default command;

function describe(spool: SpoolVerificationResult & { directory: string }): string {
  const paint = styler();
  const { good, directory, tenant, gateway, batches, samples, events, head, findings, aside } = spool;
  const result = good ? paint('green', 'good') : paint('red', 'not good');
  const whose = `tenant ${tenant}, gateway ${gateway}`;
  const what = `${batches} batches with ${samples} samples, ${events} events, head ${head.epoch}/${head.seq}`;
  return [
    `${directory}: ${result}: ${whose}; ${what}`,
    ...findings.map((finding) => paint('red', `${finding.where}: ${finding.what}`)),
    ...aside.map((file) =>
      paint('yellow', `${file}: was damaged and set aside; what was sound is forwarded`),
    ),
  ].join('\n');
}
