import { describeError, MerestoneError } from '../base/error.ts';
import { ExitCode } from '../base/exit-code.ts';
import type { Command } from './command.ts';
import { describeSummary } from '../demo/demo-summary.ts';
import { withPackage } from './optional-package.ts';
import { print, printJson, remark } from './output.ts';

interface DemoArguments {
  seconds: number | undefined;
}

const demo: Command<DemoArguments> = {
  command: 'demo',
  describe: 'simulated bus, broker and certificates: the whole path with no hardware',
  builder: (yargs) =>
    yargs.option('seconds', {
      type: 'number',
      requiresArg: true,
      describe: 'stop by itself, this long after both tenants are online',
    }),
  handler: run,
};
export default demo;

async function run({ seconds, json }: DemoArguments & { json: boolean }): Promise<void> {
  if (seconds !== undefined && !(seconds > 0)) {
    throw new MerestoneError('Usage', '--seconds must be a number above 0');
  }
  const { play } = await withPackage('aedes', 'the demo', () => import('../demo/run-demo.ts'));
  const stopping = new AbortController();
  // SIGHUP is the terminal's window being closed.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  // The terminal is gone, but the folder must be removed and the child processes stopped.
  process.stdout.removeAllListeners('error').on('error', () => stopping.abort());
  const screen = !json && process.stdout.isTTY && process.env['TERM'] !== 'dumb';
  const { summary, failure } = await play({
    ms: seconds === undefined ? undefined : seconds * 1000,
    screen,
    onProgress: (line) => {
      (json ? process.stderr : process.stdout).write(`${line}\n`);
    },
    signal: stopping.signal,
  });
  await (json ? printJson(summary) : print(describeSummary(summary)));
  if (failure instanceof MerestoneError) process.exitCode = failure.exitCode;
  else if (failure !== undefined) process.exitCode = ExitCode.Internal;
  else if (!summary.ok) process.exitCode = ExitCode.Unavailable;
  if (failure !== undefined) remark(describeError(failure));
}
