import report from './backend/report.ts';
import type { Command } from './command.ts';

const command: Command = {
  command: 'backend',
  describe: 'what a backend can answer for afterwards: report',
  builder: (yargs) =>
    yargs.command(report).demandCommand(1, 1, 'say what to do: report', 'one action at a time'),
  handler: () => {},
};
export default command;
