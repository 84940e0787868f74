import refused from './backend/refused.ts';
import report from './backend/report.ts';
import type { Command } from './command.ts';

const command: Command = {
  command: 'backend',
  describe: 'what a backend can answer for afterwards: report, refused',
  builder: (yargs) =>
    yargs
      .command(report)
      .command(refused)
      .demandCommand(1, 1, 'say what to do: report or refused', 'one action at a time'),
  handler: () => {},
};
export default command;
