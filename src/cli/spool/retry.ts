import { plainDocument } from '../../base/plain-text.ts';
import { findControlSocket } from '../../config/load-config.ts';
import { connectControl } from '../../admin/control-client.ts';
import type { Command } from '../command.ts';
import { print, printJson } from '../output.ts';
import { siloOption } from './spool-place.ts';

const command: Command<{ silo: string | undefined }> = {
  command: 'retry',
  describe: 'have the running daemon send quarantined batches once more',
  builder: (yargs) => yargs.options({ silo: siloOption }),
  handler: async ({ config, json, silo }) => {
    const client = await connectControl(findControlSocket(config));
    try {
      const params = silo === undefined ? undefined : { silo };
      const result = (await client.request('spool-retry', params)) as { silos: string[] };
      if (json) return await printJson(result);
      for (const name of plainDocument(result).silos) {
        await print(
          `silo ${name}  its quarantined batches are sent once more; 'merestone status' shows what becomes of them`,
        );
      }
    } finally {
      client.close();
    }
  },
};
export default command;
