import { ExitCode } from '../base/exit-code.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { Command } from './command.ts';
import { print, printJson } from './output.ts';

const command: Command = {
  command: 'check',
  describe: 'read the configuration and its certificates, and say what is wrong where',
  handler: async ({ config, json }) => {
    const result = loadConfig(config);
    const faults = 'faults' in result ? result.faults : [];
    if (faults.length > 0) process.exitCode = ExitCode.Config;
    if (json) return await printJson({ good: faults.length === 0, faults });
    for (const fault of faults) await print(formatFault(fault));
  },
};
export default command;
