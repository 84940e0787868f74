import { flushCompileCache } from 'node:module';
import { inBackground } from '../base/background.ts';
import { systemClock } from '../base/clock.ts';
import { describeError } from '../base/error.ts';
import { ExitCode } from '../base/exit-code.ts';
import { createLogger, type LogLevel } from '../base/logger.ts';
import { version } from '../base/version.ts';
import { Daemon } from '../gateway/daemon.ts';
import { connectServiceManager } from '../gateway/service-manager.ts';
import type { Command } from './command.ts';
import { endOnFault, firstSignal, writeRecord } from './daemon-process.ts';

const logLevels = ['debug', 'info', 'warn', 'error'] as const;

const command: Command<{ 'log-level': LogLevel }> = {
  command: 'run',
  describe: 'the daemon, in the foreground: SIGTERM stops it, SIGHUP reloads the configuration',
  builder: (parser) =>
    parser.option('log-level', {
      describe: 'least level that is logged',
      choices: logLevels,
      default: 'info' as const,
      requiresArg: true,
    }),
  handler: async ({ config, 'log-level': level }) => {
    const logger = createLogger(writeRecord, level);
    endOnFault(logger);
    const serviceManager = await connectServiceManager(systemClock);
    const daemon = await Daemon.start(config, { clock: systemClock, logger });
    logger.info('gateway runs', { version, config, pid: process.pid });
    serviceManager.ready();
    // A daemon that is killed would lose it, and pay for compiling at every start.
    flushCompileCache();

    process.on('SIGHUP', () => {
      inBackground(reload(daemon, serviceManager), (error) => {
        logger.error('not reloaded', { reason: describeError(error) });
      });
    });
    const signal = await firstSignal('SIGTERM', 'SIGINT');
    logger.info('gateway stops', { signal });
    serviceManager.stopping();
    await daemon.stop();
    serviceManager.close();
    logger.info('gateway stopped');
    process.exitCode = ExitCode.Good;
  },
};
export default command;

async function reload(
  daemon: Daemon,
  serviceManager: Awaited<ReturnType<typeof connectServiceManager>>,
): Promise<void> {
  serviceManager.reloading();
  await daemon.reloadOnSignal();
  serviceManager.ready();
}
