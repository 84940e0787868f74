import { findControlSocket } from '../config/load.ts';
import { connectControl } from '../console/control-client.ts';
import type { GatewayStatus } from '../reading/status.ts';
import type { Command } from './command.ts';
import { print, printJson, styler } from './output.ts';
import { reportStatus } from './status-report.ts';

const command: Command = {
  command: 'status',
  describe: 'what the running daemon is doing, per silo, bus and device',
  handler: async ({ config, json }) => {
    const client = await connectControl(findControlSocket(config));
    try {
      const status = (await client.request('status')) as GatewayStatus;
      if (json) await printJson(status);
      else await print(reportStatus(status, Date.now(), styler()));
    } finally {
      client.close();
    }
  },
};
export default command;
