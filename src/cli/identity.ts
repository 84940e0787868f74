import type { Command } from './command.ts';
import install from './identity/install.ts';
import request from './identity/request.ts';
import show from './identity/show.ts';

const command: Command = {
  command: 'identity',
  describe: 'the certificates that say whose data it is: show, request, install',
  builder: (yargs) =>
    yargs
      .command(show)
      .command(request)
      .command(install)
      .demandCommand(1, 1, 'say what to do: show, request or install', 'one action at a time'),
  handler: () => {},
};
export default command;
