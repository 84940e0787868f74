import { ExitCode } from '../../base/exit-code.ts';
import { plainDocument } from '../../base/plain-text.ts';
import { connectControl } from '../../admin/control-client.ts';
import type { RetryResult } from '../../admin/control-protocol.ts';
import { findControlSocket } from '../../config/load-config.ts';
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
      const result = (await client.request('spool-retry', params)) as { silos: RetryResult[] };
      if (result.silos.some(({ batches }) => batches === null)) process.exitCode = ExitCode.Unavailable;
      if (json) return await printJson(result);
      for (const each of plainDocument(result).silos) await print(`silo ${each.silo}  ${describe(each)}`);
    } finally {
      client.close();
    }
  },
};
export default command;

function describe({ batches, reason }: RetryResult): string {
  if (batches === null)
    return `nothing is sent once more: ${reason}; see 'merestone status', and ask again when it runs`;
  if (batches === 0) return 'it has no quarantined batch';
  const counted = batches === 1 ? '1 quarantined batch is' : `${batches} quarantined batches are`;
  return `${counted} sent once more; 'merestone status' shows what becomes of them`;
}
