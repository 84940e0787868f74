import type { Command } from './command.ts';
import exportBatches from './spool/export.ts';
import retry from './spool/retry.ts';
import rekey from './spool/rekey.ts';
import shred from './spool/shred.ts';
import stats from './spool/stats.ts';
import verify from './spool/verify.ts';

const command: Command = {
  command: 'spool',
  describe:
    'what is stored on this box: stats, export, verify, rekey and shred while the daemon is stopped, retry while it runs',
  builder: (yargs) =>
    yargs
      .command(stats)
      .command(exportBatches)
      .command(verify)
      .command(rekey)
      .command(retry)
      .command(shred)
      .demandCommand(
        1,
        1,
        'say what to do: stats, export, verify, rekey, retry or shred',
        'one action at a time',
      ),
  handler: () => {},
};
export default command;
