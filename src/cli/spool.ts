import type { Command } from './command.ts';
import exportBatches from './spool/export.ts';
import rekey from './spool/rekey.ts';
import shred from './spool/shred.ts';
import stats from './spool/stats.ts';
import verify from './spool/verify.ts';

const command: Command = {
  command: 'spool',
  describe: 'what is stored on this box, while the daemon is stopped: stats, export, verify, rekey, shred',
  builder: (yargs) =>
    yargs
      .command(stats)
      .command(exportBatches)
      .command(verify)
      .command(rekey)
      .command(shred)
      .demandCommand(1, 1, 'say what to do: stats, export, verify, rekey or shred', 'one action at a time'),
  handler: () => {},
};
export default command;
