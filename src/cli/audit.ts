import show from './audit/show.ts';
import verify from './audit/verify.ts';
import type { Command } from './command.ts';

const command: Command = {
  command: 'audit',
  describe: "what happened to each tenant's data on this box, and by which user: show, verify",
  builder: (yargs) =>
    yargs
      .command(show)
      .command(verify)
      .demandCommand(1, 1, 'say what to do: show or verify', 'one action at a time'),
  handler: () => {},
};
export default command;
