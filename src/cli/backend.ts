import prove from './backend/prove.ts';
import refused from './backend/refused.ts';
import report from './backend/report.ts';
import verifyRows from './backend/verify-rows.ts';
import witness from './backend/witness.ts';
import type { Command } from './command.ts';

const command: Command = {
  command: 'backend',
  describe: 'what a backend can answer for afterwards: report, verify-rows, prove, witness, refused',
  builder: (yargs) =>
    yargs
      .command(report)
      .command(verifyRows)
      .command(prove)
      .command(witness)
      .command(refused)
      .demandCommand(
        1,
        1,
        'say what to do: report, verify-rows, prove, witness or refused',
        'one action at a time',
      ),
  handler: () => {},
};
export default command;
