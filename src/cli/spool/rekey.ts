import { plainDocument } from '../../base/plain-text.ts';
import { rewrapAuditKey } from '../../audit/audit-key.ts';
import { auditDirectory } from '../../audit/audit-segment.ts';
import type { Command } from '../command.ts';
import { print, printJson } from '../output.ts';
import {
  folderOption,
  keysOption,
  openSpool,
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
      const opened = await openSpool(place);
      const { keys } = opened;
      using spool = opened.spool;
      const dataKeys = await spool.rekey(keys);
      await rewrapAuditKey(auditDirectory(place.directory), keys);
      spools.push({ directory: place.directory, keyEncryptionKey: keys.keyId, dataKeys });
    }
    if (args.json) return printJson({ spools });
    for (const { directory, keyEncryptionKey, dataKeys } of plainDocument(spools)) {
      await print(`${directory}: ${dataKeys} data keys wrapped to ${keyEncryptionKey}`);
    }
  },
};
export default command;
