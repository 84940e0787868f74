import { MerestoneError } from '../base/error.ts';
import { ExitCode } from '../base/exit-code.ts';
import { plainDocument } from '../base/plain-text.ts';
import { formatFault } from '../config/fault-line.ts';
import { findControlSocket } from '../config/load-config.ts';
import { connectControl, RequestRefused } from '../admin/control-client.ts';
import type { ReloadReport, ReloadResult } from '../config/reload-plan.ts';
import type { Command } from './command.ts';
import { print, printJson, remark, type Style, styler } from './output.ts';
import { layOut } from './table.ts';

/** A silo that is restarted has 4 s to stop, and one that does not answer 10. */
const reloadTimeoutMs = 30_000;

const command: Command = {
  command: 'reload',
  describe: 'have the running daemon read its configuration again; only what changed is touched',
  handler: async ({ config, json }) => {
    const client = await connectControl(findControlSocket(config));
    try {
      const result = (await client.request('reload', undefined, reloadTimeoutMs)) as ReloadReport;
      if (!json) for (const warning of result.warnings ?? []) remark(warning);
      if (json) await printJson({ reloaded: true, ...result });
      else await print(report(plainDocument(result), styler()));
    } catch (error) {
      if (!(error instanceof RequestRefused) || error.faults.length === 0) throw error;
      process.exitCode = ExitCode.Config;
      if (json) return await printJson({ reloaded: false, faults: error.faults });
      for (const fault of error.faults) await print(formatFault(plainDocument(fault)));
      throw new MerestoneError('ConfigInvalid', 'nothing was touched: everything goes on as it was', {
        hint: 'correct the faults above',
      });
    } finally {
      client.close();
    }
  },
};
export default command;

/** `silo north  restarted  quota.samplesPerSecond`, one line a silo and bus. */
function report({ silos, buses }: ReloadResult, paint: (style: Style, text: string) => string): string {
  const row = (what: string, outcome: string, changes: readonly string[]) => [
    { text: what },
    { text: outcome, ...(outcome === 'untouched' && { paint: (text: string) => paint('dim', text) }) },
    { text: changes.join(', ') },
  ];
  const rows = [
    ...silos.map(({ name, outcome, changes }) => row(`silo ${name}`, outcome, changes)),
    ...buses.map(({ name, outcome }) => row(`bus ${name}`, outcome, [])),
  ];
  return layOut(rows, new Set(), '').join('\n');
}
