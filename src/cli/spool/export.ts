import { plainJsonText } from '../../base/plain-text.ts';
import type { Command } from '../command.ts';
import { print, remark } from '../output.ts';
import {
  folderOption,
  keysOption,
  openSpool,
  recordAct,
  siloOption,
  spoolPlaces,
  type PlaceArguments,
} from './spool-place.ts';

const command: Command<PlaceArguments> = {
  command: 'export [folder]',
  describe: 'writes all batches that wait, and those that the broker refused, as one JSON line each; audited',
  builder: (yargs) =>
    yargs.positional('folder', folderOption).options({ silo: siloOption, keys: keysOption }),
  handler: async (args) => {
    for (const place of spoolPlaces(args)) {
      using spool = (await openSpool(place)).spool;
      const { tenant, gateway } = spool.origin;
      const runs = spool.exportedRuns();
      for (const run of runs) recordAct(place.directory, spool.origin, 'export', run);
      for (const payload of spool.payloads()) await print(shown(payload));
      const batches = runs.reduce((sum, run) => sum + run.batches, 0);
      remark(`${batches} batches of tenant ${tenant}, gateway ${gateway}`);
    }
  },
};
export default command;

/**
 * A file gets the sealed bytes, which the chain covers; a terminal the same document, with control characters escaped.
 */
function shown(payload: Buffer): string {
  const text = payload.toString();
  return process.stdout.isTTY ? plainJsonText(text) : text;
}
