import { statSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import { createLogger } from '../base/logger.ts';
import { serve } from '../silo/process/server.ts';
import type { Command } from './command.ts';
import { endOnFault, firstSignal, writeRecord } from './daemon-process.ts';

interface SiloArguments {
  listen: string;
  'gateway-user-of': string | undefined;
}

const command: Command<SiloArguments> = {
  command: 'silo',
  describe: 'one silo as a process of its own, for a unit under its own user (isolation: process)',
  builder: (parser) =>
    parser.options({
      listen: {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'Unix socket at which the gateway finds it',
      },
      'gateway-user-of': {
        type: 'string',
        requiresArg: true,
        describe:
          "a folder that the gateway's user owns, such as /run/merestone; this user where it is not given",
      },
    }),
  handler: async ({ listen, 'gateway-user-of': folder }) => {
    const logger = createLogger(writeRecord, 'info');
    endOnFault(logger);
    const gatewayUid = (): number => (folder === undefined ? process.getuid!() : ownerOf(folder));
    const server = await serve({ listen, gatewayUid }, { clock: systemClock, logger });
    logger.info('silo waits for its gateway', { listen });
    await firstSignal('SIGTERM', 'SIGINT');
    await server.close();
  },
};
export default command;

function ownerOf(folder: string): number {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (stats !== undefined) return stats.uid;
  throw new MerestoneError('FileNotFound', "the gateway's folder is not there", {
    subject: folder,
    hint: 'start the gateway: its unit makes it',
  });
}
