import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import { describeError, MerestoneError } from '../base/error.ts';
import type { LogFields, Logger } from '../base/logger.ts';
import type { GatewayOptions } from '../config/options.ts';
import { readConfig } from '../config/config-reader.ts';
import { ConfigRefused } from '../config/config-refused.ts';
import type { TailItem } from '../admin/control-protocol.ts';
import {
  type ControlHandlers,
  type ControlServer,
  type Refusal,
  startControlServer,
} from '../admin/control-server.ts';
import { type HttpServer, startHttpServer } from '../admin/http-server.ts';
import { judged } from '../status/verdict/verdict.ts';
import { Gateway } from './gateway.ts';
import { RefusedRequestLog } from './refused-request-log.ts';
import type { ReloadReport, ReloadResult } from '../config/reload-plan.ts';

export interface DaemonDependencies {
  clock: Clock;
  logger: Logger;
}

/** The user noted for a reload by SIGHUP: the kernel does not say who sent it. */
const bySignal = 'signal';

/**
 * The daemon of `merestone run`: one configuration file, the gateway that it describes, the control socket and HTTP.
 * `cli/run.ts` starts it, reloads it on SIGHUP and stops it on SIGTERM or SIGINT.
 *
 * - Only one daemon runs: the control socket opens before the buses.
 * - Reloads and the stop run one after another, and no reload begins once the stop has begun.
 * - A faulty configuration is refused as a whole, and the running one stays in force.
 * - A refused request or reload is noted in every silo's audit log.
 */
export class Daemon {
  readonly #file: string;
  readonly #dependencies: DaemonDependencies;
  readonly #tails = new Set<(item: TailItem) => void>();
  readonly #refusedRequests: RefusedRequestLog;
  #options: GatewayOptions;
  #gateway: Gateway | undefined;
  #control: ControlServer | undefined;
  #http: HttpServer | undefined;
  /** Once true, no reload begins. */
  #isStopping = false;
  /** One reload or stop after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  /** Reads the configuration and starts. Throws ConfigInvalid with every fault, DaemonRunning, Io. */
  static async start(file: string, dependencies: DaemonDependencies): Promise<Daemon> {
    const { options, warnings } = await readSound(file);
    warn(dependencies.logger, warnings);
    const daemon = new Daemon(file, options, dependencies);
    try {
      await daemon.#open();
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return daemon;
  }

  private constructor(file: string, options: GatewayOptions, dependencies: DaemonDependencies) {
    this.#file = file;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#refusedRequests = new RefusedRequestLog(dependencies.clock, (act) => this.#gateway?.record(act));
  }

  /**
   * Reads the configuration again and restarts only what changed. A faulty configuration is refused as a whole, and
   * the running one stays in force. Throws ConfigInvalid, and the errors of reading the file.
   */
  reload(by: string): Promise<ReloadReport> {
    const { logger } = this.#dependencies;
    return this.#inTurn(async () => {
      if (this.#isStopping) throw stoppingFault();
      try {
        const { options, warnings } = await readSound(this.#file);
        this.#refuseMoved(options);
        const result = await this.#running.reload(options, by);
        this.#options = options;
        logger.info('configuration reloaded', { by, ...summaryOf(result) });
        warn(logger, warnings);
        return warnings.length === 0 ? result : { ...result, warnings };
      } catch (error) {
        const reason = error instanceof MerestoneError ? error.message : describeError(error);
        logger.error('configuration refused: everything goes on as it was', { by, reason });
        throw error;
      }
    });
  }

  /** Reload by SIGHUP: no caller waits for the outcome, so a refusal is only noted. */
  async reloadOnSignal(): Promise<void> {
    try {
      await this.reload(bySignal);
    } catch (error) {
      this.#refused({ by: bySignal, method: 'reload', error });
    }
  }

  /** Resolves when all accepted samples are on disk and every port and file is closed. */
  stop(): Promise<void> {
    this.#isStopping = true;
    this.#gateway?.abort();
    return this.#inTurn(async () => {
      this.#refusedRequests.close();
      await Promise.all([this.#control?.close(), this.#http?.close(), this.#gateway?.stop()]);
    });
  }

  /** Opens the sockets first: a second daemon then fails before it disturbs the first one's buses. */
  async #open(): Promise<void> {
    const { control, http } = this.#options;
    const { logger } = this.#dependencies;
    this.#control = await startControlServer(control.socket, this.#handlers(), this.#dependencies);
    if (http !== undefined) {
      this.#http = await startHttpServer(http, () => judged(this.#running.status()), this.#dependencies);
      logger.info('http listens', { ...http, port: this.#http.port });
    }
    this.#gateway = this.#startGateway();
  }

  get #running(): Gateway {
    if (this.#gateway !== undefined) return this.#gateway;
    throw new MerestoneError('DaemonUnreachable', 'the daemon is starting', {
      hint: 'ask again in a second',
      retryable: true,
    });
  }

  #handlers(): ControlHandlers {
    return {
      status: () => judged(this.#running.status()),
      devices: () => this.#running.devices(),
      subscribe: (listener) => {
        this.#tails.add(listener);
        return () => this.#tails.delete(listener);
      },
      reload: (by) => this.reload(by),
      request: async (method, params, by) => {
        if (method === 'spool-retry')
          return { silos: await this.#running.retryQuarantined(siloOf(params), by) };
        throw new MerestoneError('ControlInvalid', `there is no method '${method}'`);
      },
      refused: (refusal) => this.#refused(refusal),
    };
  }

  /** Notes a refusal; not during the stop, when no silo can note it and no timer may keep the process alive. */
  #refused(refusal: Refusal): void {
    if (!this.#isStopping) this.#refusedRequests.add(refusal);
  }

  #startGateway(): Gateway {
    const gateway = new Gateway(this.#options, this.#dependencies);
    gateway.onSamples((silo, samples) => {
      for (const tail of this.#tails) for (const sample of samples) tail({ silo, sample });
    });
    return gateway;
  }

  #refuseMoved(options: GatewayOptions): void {
    const placed = ({ stateDir, control, http }: GatewayOptions): unknown => [stateDir, control, http];
    if (isDeepStrictEqual(placed(options), placed(this.#options))) return;
    throw new MerestoneError(
      'ConfigInvalid',
      'stateDir, control and http can not move under a running daemon',
      {
        subject: this.#file,
        hint: 'restart it',
      },
    );
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

function stoppingFault(): MerestoneError {
  return new MerestoneError('DaemonUnreachable', 'the daemon is stopping', {
    hint: 'start it again, and it reads its configuration',
  });
}

async function readSound(file: string): Promise<{ options: GatewayOptions; warnings: string[] }> {
  const result = await readConfig(file);
  if ('options' in result) return result;
  throw new ConfigRefused(file, result.faults);
}

function warn(logger: Logger, warnings: readonly string[]): void {
  for (const warning of warnings) logger.warn('configuration may not be meant so', { warning });
}

/** `silos: "north restarted, south untouched"`. */
function summaryOf({ silos, buses }: ReloadResult): LogFields {
  const told = (outcomes: readonly { name: string; outcome: string }[]): string =>
    outcomes.map(({ name, outcome }) => `${name} ${outcome}`).join(', ');
  return { silos: told(silos), buses: told(buses) };
}

/** Which silo is meant; undefined: all. Throws ControlInvalid. */
function siloOf(params: unknown): string | undefined {
  if (params === undefined || params === null) return undefined;
  const silo: unknown = typeof params === 'object' && 'silo' in params ? params.silo : undefined;
  if (silo === undefined || typeof silo === 'string') return silo;
  throw new MerestoneError('ControlInvalid', 'silo is the name of one');
}
