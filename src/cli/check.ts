import { ExitCode } from '../base/exit-code.ts';
import { meaningOfKeyPlace } from '../base/key-place.ts';
import { plainDocument } from '../base/plain-text.ts';
import { formatFault } from '../config/fault-line.ts';
import { examineBox } from './box-examination.ts';
import type { Command } from './command.ts';
import { examine, type SiloFinding } from './examination.ts';
import { print, printJson, remark } from './output.ts';

const command: Command = {
  command: 'check',
  describe: 'read the configuration and its certificates, and say what is wrong where',
  handler: async ({ config, json }) => {
    const { faults, silos, options, ...examined } = examine(config, Date.now());
    const warnings = [...examined.warnings, ...(options === undefined ? [] : await examineBox(options))];
    const good = faults.length === 0;
    if (!good) process.exitCode = ExitCode.Config;
    if (json) return await printJson({ good, faults, warnings, silos });
    for (const warning of warnings) remark(warning);
    for (const { name, spoolKey } of silos) {
      const meaning = spoolKey === null ? undefined : meaningOfKeyPlace(spoolKey);
      if (meaning !== undefined) remark(`silo '${name}': ${meaning}`);
    }
    for (const fault of faults) await print(formatFault(plainDocument(fault)));
    if (good) for (const silo of silos) await print(summaryOf(plainDocument(silo)));
  },
};
export default command;

/** `north: tenant acme, gateway acme_gw-0001, 3 devices, certificate good for 364 days`. */
function summaryOf({ name, tenant, gateway, devices, daysLeft }: SiloFinding): string {
  const own = devices === 1 ? '1 device' : `${devices} devices`;
  return `${name}: tenant ${tenant}, gateway ${gateway}, ${own}, certificate good for ${daysLeft} days`;
}
