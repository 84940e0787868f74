import { findControlSocket } from '../config/load-config.ts';
import { connectControl } from '../admin/control-client.ts';
import type { GatewayStatus } from '../status/status.ts';
import type { Command } from './command.ts';
import { ExitCode } from '../base/exit-code.ts';
import { judge, judged, type Verdict } from '../status/verdict/verdict.ts';
import { print, printJson, styler } from './output.ts';
import { reportStatus } from './status-report.ts';

const exitCodes: Record<Verdict, ExitCode> = {
  good: ExitCode.Good,
  degraded: ExitCode.Warnings,
  failing: ExitCode.Faults,
};

const command: Command = {
  command: 'status',
  describe: 'whether all is well, and what the running daemon is doing, per silo, bus and device',
  handler: async ({ config, json }) => {
    const client = await connectControl(findControlSocket(config));
    try {
      const status = (await client.request('status')) as GatewayStatus;
      if (json) await printJson(judged(status));
      else await print(reportStatus(status, Date.now(), styler()));
      process.exitCode = exitCodes[judge(status).verdict];
    } finally {
      client.close();
    }
  },
};
export default command;
