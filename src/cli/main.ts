/**
 * The room `cli`: the `merestone` command. Every command is one file beside this one, which parses its arguments, calls
 * the other rooms and prints; nothing imports this room.
 *
 * - Results go to standard output, everything else to standard error; `--json` makes one document (or one a line).
 * - A command ends by returning or by throwing `MerestoneError`, which becomes one line and the exit code.
 * - Text from outside is made safe for a terminal before it is printed (`base/plain-text.ts`).
 */
import yargs, { type Argv, type CommandModule } from 'yargs';
import { keepDebuggersOut } from '../base/debugger.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import { ExitCode } from '../base/exit-code.ts';
import { nearestName } from '../base/nearest-name.ts';
import { version } from '../base/version.ts';
import { remark } from './output.ts';
import type { GlobalArguments } from './command.ts';

/** Each command is one file, imported only when it is called: the daemon loads no code that it does not use. */
const commands = {
  run: () => import('./run.ts'),
  silo: () => import('./silo.ts'),
  check: () => import('./check.ts'),
  status: () => import('./status.ts'),
  tail: () => import('./tail.ts'),
  reload: () => import('./reload.ts'),
  identity: () => import('./identity.ts'),
  audit: () => import('./audit.ts'),
  spool: () => import('./spool.ts'),
  consume: () => import('./consume.ts'),
  backend: () => import('./backend.ts'),
  'broker-policy': () => import('./broker-policy.ts'),
  demo: () => import('./demo.ts'),
};

type CommandName = keyof typeof commands;
const commandNames = Object.keys(commands) as CommandName[];
const isCommandName = (word: string): word is CommandName => Object.hasOwn(commands, word);

const defaultConfig = '/etc/merestone/merestone.yaml';
const helpHint = "'merestone --help' shows what there is";
const words = process.argv.slice(2);

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (words.includes('run') || words.includes('silo')) return; // the daemon outlives the reader of its log
  process.exit(error.code === 'EPIPE' ? ExitCode.Good : ExitCode.Io);
});

try {
  keepDebuggersOut();
  await run(words);
} catch (error) {
  remark(describeError(error));
  if (error instanceof MerestoneError) {
    process.exitCode = error.exitCode;
  } else {
    if (error instanceof Error && error.stack !== undefined) remark(error.stack);
    process.exitCode = ExitCode.Internal;
  }
}

async function run(words: string[]): Promise<void> {
  const named = words.filter(isCommandName);
  const modules = await Promise.all(
    (named.length > 0 ? named : commandNames).map((name) => commands[name]()),
  );
  const parser = createParser(words);
  for (const module of modules) parser.command(module.default as CommandModule<GlobalArguments>);
  await parser.parseAsync();
}

function createParser(words: string[]): Argv<GlobalArguments> {
  const parser = yargs(words)
    .scriptName('merestone')
    .locale('en')
    .usage('Merestone: edge gateway agent\n\nUsage: $0 <command> [options]')
    .option('config', {
      describe: 'configuration file',
      type: 'string',
      default: defaultConfig,
      requiresArg: true,
      global: true,
    })
    .option('json', {
      describe: 'one JSON document on standard output, or one a line',
      type: 'boolean',
      default: false,
      global: true,
    })
    .example('$0 check --config ./merestone.yaml', 'say what is wrong with a configuration, and where')
    .example('$0 status', 'what the running daemon is doing')
    .example('$0 tail --device main-meter', 'samples of one device as they arrive')
    .epilogue('Results go to standard output, everything else to standard error.')
    .version(`merestone ${version}`)
    .help()
    .alias({ h: 'help', V: 'version' })
    .demandCommand(1, 1, 'no command given', 'one command at a time')
    .strict()
    .wrap(Math.min(process.stdout.columns ?? 100, 100))
    .exitProcess(false)
    .fail((message, error) => {
      if (error instanceof Error && error.name !== 'YError') throw error;
      if (words.length === 0) parser.showHelp('error');
      throw usageFault(message ?? error.message, words, parser);
    });
  parser.middleware((given) => keepLast(given, parser), true);
  return parser;
}

function usageFault(message: string, words: readonly string[], parser: Argv): MerestoneError {
  const unknown = /^Unknown (?:argument|command)s?: ([^,]+)/.exec(message)?.[1];
  if (unknown === undefined) {
    return new MerestoneError('Usage', message[0]!.toLowerCase() + message.slice(1), { hint: helpHint });
  }
  if (!words.includes(unknown)) {
    const options = Object.keys((parser.parsed || undefined)?.aliases ?? {}).filter(
      (name) => name.length > 1,
    );
    return new MerestoneError('Usage', `unknown option '--${unknown}'`, {
      hint: suggest(unknown, options, '--'),
    });
  }
  const what = words.some(isCommandName)
    ? `'${unknown}' is one word too many`
    : `unknown command '${unknown}'`;
  return new MerestoneError('Usage', what, { hint: suggest(unknown, commandNames) });
}

function suggest(typed: string, names: readonly string[], prefix = ''): string {
  const meant = nearestName(typed, names);
  return meant === undefined ? helpHint : `did you mean '${prefix}${meant}'?`;
}

/** For a single-valued option that is given twice, the last value counts: yargs would make a list of both. */
function keepLast(given: Record<string, unknown>, parser: Argv): void {
  const { array } = (parser as unknown as { getOptions(): { array: string[] } }).getOptions();
  for (const [name, value] of Object.entries(given)) {
    if (name !== '_' && Array.isArray(value) && !array.includes(name)) given[name] = value.at(-1);
  }
}
