import { MerestoneError } from '../../base/error.ts';
import { ownerOf } from '../../base/state-folder.ts';
import { plain } from '../../base/plain-text.ts';
import { OfflineSpool } from '../../spool/offline/offline-spool.ts';
import { destroyAuditKey } from '../../audit/audit-key.ts';
import { auditDirectory } from '../../audit/audit-segment.ts';
import { countOf } from '../../base/ranges.ts';
import { shred } from '../../spool/offline/shredding.ts';
import type { Command } from '../command.ts';
import { print, printJson } from '../output.ts';
import { folderOption, recordAct, siloOption, spoolPlaces, type PlaceArguments } from './spool-place.ts';

const command: Command<PlaceArguments & { yes: boolean }> = {
  command: 'shred [folder]',
  describe: 'destroys a spool with its data keys, and the names in its audit log, irreversibly; audited',
  builder: (yargs) =>
    yargs
      .positional('folder', folderOption)
      .options({ silo: siloOption, yes: { type: 'boolean', default: false, describe: 'I mean it' } }),
  handler: async (args) => {
    const [place, ...more] = spoolPlaces(args);
    if (place === undefined || more.length > 0) {
      throw new MerestoneError('Usage', 'there are several spools', {
        hint: `name the folder of one: ${[place!, ...more].map(({ directory }) => directory).join(', ')}`,
      });
    }
    const claim = OfflineSpool.claim(place);
    const { tenant, gateway } = claim ?? ownerOf(place.directory);
    const batches = claim === undefined ? 0 : countOf(claim.waiting);
    const samples = claim?.samplesWaiting ?? 0;
    if (!args.yes) {
      const what = claim === undefined ? 'a damaged spool' : `${batches} batches that wait`;
      throw new MerestoneError('Usage', `this would destroy ${what} of tenant ${tenant} irreversibly`, {
        subject: place.directory,
        hint: 'export them first if anybody needs them; then say --yes',
      });
    }
    const details = { epoch: claim?.head.epoch ?? 'unknown', batches, samples };
    const names: string[] = [];
    const files = shred(place.directory, claim, () => {
      recordAct(place.directory, { tenant, gateway }, 'shred', details);
      names.push(...destroyAuditKey(auditDirectory(place.directory)));
    });
    files.push(...names);
    if (args.json) return printJson({ directory: place.directory, tenant, gateway, ...details, files });
    await print(files.map((file) => `${plain(file)}: overwritten and deleted`).join('\n'));
  },
};
export default command;
