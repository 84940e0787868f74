import { existsSync } from 'node:fs';
import type { RefusedMessage } from '../../backend/parked-messages.ts';
import { StateStore } from '../../backend/state-store.ts';
import { MerestoneError } from '../../base/error.ts';
import { formatBytes } from '../../base/quantity.ts';
import { plain } from '../../base/plain-text.ts';
import type { Command } from '../command.ts';
import { needed } from '../option.ts';
import { print, printJson } from '../output.ts';

interface RefusedArguments {
  state: string;
}

/** Nothing is added: only what is there is shown. */
const noRoom = { waitingBytesMax: 0, heldBytesMax: 0, refusedBytesMax: 0, tenantRefusedBytesMax: 0 };

const refused: Command<RefusedArguments> = {
  command: 'refused',
  describe: 'messages that consume refused and kept; consume --replay takes them again',
  builder: (yargs) =>
    yargs
      .parserConfiguration({ 'duplicate-arguments-array': true })
      .options({ state: needed('the file that consume was given as --state') }),
  handler: run,
};

export default refused;

async function run({ state, json }: RefusedArguments & { json: boolean }): Promise<void> {
  // A mistyped name must not create a file.
  if (!existsSync(state)) {
    throw new MerestoneError('FileNotFound', 'there is no state here', {
      subject: state,
      hint: 'name the file that consume was given as --state',
    });
  }
  const store = new StateStore(state, noRoom);
  try {
    const messages = [...store.parked.refused()];
    if (json) await printJson(messages);
    else await print(`${messages.map(lineOf).join('\n')}${messages.length > 0 ? '\n' : ''}`);
  } finally {
    store.close();
  }
}

function lineOf({ at, topic, bytes, reason }: RefusedMessage): string {
  return plain(`${new Date(at).toISOString()} ${topic} ${formatBytes(bytes)}: ${reason}`);
}
