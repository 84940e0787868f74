import { prove } from '../../backend/tree/prove.ts';
import { MerestoneError } from '../../base/error.ts';
import { isSegment } from '../../messages/segment.ts';
import type { Command } from '../command.ts';
import { needed } from '../option.ts';
import { print, printJson } from '../output.ts';

interface ProveArguments {
  tenant: string;
  gateway: string;
  evidence: string;
  line: number | undefined;
  since: number | undefined;
}

const command: Command<ProveArguments> = {
  command: 'prove',
  describe: 'proof that a line of evidence is under the newest head, or that this goes on from an older one',
  builder: (yargs) =>
    yargs.parserConfiguration({ 'duplicate-arguments-array': true }).options({
      tenant: needed('whose evidence'),
      gateway: needed('of which gateway'),
      evidence: needed('the folder that consume was given as --evidence'),
      line: { type: 'number', requiresArg: true, describe: 'which line, counted over all its files from 1' },
      since: { type: 'number', requiresArg: true, describe: 'the number of lines of the older head' },
    }),
  handler: run,
};

export default command;

async function run(args: ProveArguments & { json: boolean }): Promise<void> {
  const { tenant, gateway, evidence, line, since } = args;
  if (!isSegment(tenant) || !isSegment(gateway))
    throw new MerestoneError('Usage', 'no such tenant or gateway');
  if ((line === undefined) === (since === undefined)) {
    throw new MerestoneError('Usage', 'say what to prove: --line N or --since SIZE');
  }
  const claim = line === undefined ? { since: since! } : { line };
  const { head, hashes } = prove(evidence, { tenant, gateway }, claim);
  const { origin, size, root } = head.head;
  const proof = hashes.map((hash) => hash.toString('base64'));
  const { text } = head.note;
  const rootText = root.toString('base64');
  if (args.json) return printJson({ origin, size, root: rootText, ...claim, proof });
  await print(`${text}${proof.map((hash) => `${hash}\n`).join('')}`);
}
