import { gatewaysIn } from '../../backend/evidence-reader.ts';
import { cosignatureType, parsePublicKey } from '../../backend/tree/signed-note.ts';
import { askWitness } from '../../backend/tree/witness.ts';
import { describeError, MerestoneError } from '../../base/error.ts';
import { ExitCode } from '../../base/exit-code.ts';
import type { Command } from '../command.ts';
import { many, needed } from '../option.ts';
import { print, printJson } from '../output.ts';

interface WitnessArguments {
  evidence: string;
  url: string;
  key: string;
  tenant: string[];
}

const command: Command<WitnessArguments> = {
  command: 'witness',
  describe: 'hand the newest heads of evidence to a witness, and keep its cosignatures',
  builder: (yargs) =>
    yargs.parserConfiguration({ 'duplicate-arguments-array': true }).options({
      evidence: needed('the folder that consume was given as --evidence'),
      url: needed('where the witness takes heads: its submission prefix, https://HOST/PATH'),
      key: needed('its public key: NAME+ID+KEY'),
      tenant: many('only this tenant; may be repeated'),
    }),
  handler: run,
};

export default command;

async function run({
  evidence,
  url,
  key,
  tenant,
  json,
}: WitnessArguments & { json: boolean }): Promise<void> {
  const known = parsePublicKey(key, cosignatureType);
  if (known === undefined) {
    throw new MerestoneError('Usage', `--key '${key}' is not a key of a witness`, {
      hint: 'write NAME+ID+KEY as the witness publishes it; its type is 4, a timestamped Ed25519 cosignature',
    });
  }
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new MerestoneError('Usage', `--url '${url}' is no address`, { hint: 'write https://HOST/PATH' });
  }
  const results: { tenant: string; gateway: string; cosigned?: number; error?: string }[] = [];
  // One after the other: each reads its lines once, and a witness has limits.
  for (const origin of gatewaysIn(evidence)) {
    if (tenant.length > 0 && !tenant.includes(origin.tenant)) continue;
    try {
      results.push({ ...origin, cosigned: await askWitness(evidence, origin, { url, ...known }) });
    } catch (error) {
      results.push({ ...origin, error: describeError(error) });
    }
  }
  if (json) await printJson(results);
  else await print(results.map((each) => `${lineOf(each)}\n`).join(''));
  if (results.some(({ error }) => error !== undefined)) process.exitCode = ExitCode.Io;
}

function lineOf({
  tenant,
  gateway,
  cosigned,
  error,
}: {
  tenant: string;
  gateway: string;
  cosigned?: number;
  error?: string;
}): string {
  return `${tenant}/${gateway}: ${error ?? `${cosigned} lines are cosigned`}`;
}
