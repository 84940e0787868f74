import { plainDocument } from '../../base/plain-text.ts';
import { atRest } from '../../spool/offline/offline-spool.ts';
import { rewrapAuditKey } from '../../audit/audit-key.ts';
import { auditDirectory } from '../../audit/audit-segment.ts';
import { rekey } from '../../spool/key-change.ts';
import type { Command } from '../command.ts';
import { print, printJson } from '../output.ts';
import {
  dependenciesOf,
  folderOption,
  keysOption,
  siloOption,
  spoolPlaces,
  type PlaceArguments,
} from './spool-place.ts';

const command: Command<PlaceArguments> = {
  command: 'rekey [folder]',
  describe:
    'wraps the data keys again with the first key-encryption key; afterwards the older ones may be deleted',
  builder: (yargs) =>
    yargs.positional('folder', folderOption).options({ silo: siloOption, keys: keysOption }),
  handler: async (args) => {
    const spools = [];
    for (const place of spoolPlaces(args)) {
      const deps = await dependenciesOf(place);
      const keys = await atRest(place, deps, async (spoolFile) => {
        await rekey(spoolFile, deps.keys);
        await rewrapAuditKey(auditDirectory(place.directory), deps.keys);
        return spoolFile.keyring.all.length;
      });
      spools.push({ directory: place.directory, keyEncryptionKey: deps.keys.keyId, dataKeys: keys });
    }
    if (args.json) return printJson({ spools });
    for (const { directory, keyEncryptionKey, dataKeys } of plainDocument(spools)) {
      await print(`${directory}: ${dataKeys} data keys wrapped to ${keyEncryptionKey}`);
    }
  },
};
export default command;
