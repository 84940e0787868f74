import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import { MerestoneError } from '../base/error.ts';
import type { Logger } from '../base/logger.ts';
import { formatFault } from '../config/fault-line.ts';
import { readConfig } from '../config/reader.ts';
import type { GatewayOptions } from '../config/options.ts';
import type { TailItem } from '../console/control-protocol.ts';
import { type ControlHandlers, type ControlServer, startControlServer } from '../console/control-server.ts';
import { Gateway } from './gateway.ts';

export interface DaemonDependencies {
  clock: Clock;
  logger: Logger;
}

/** What a reload did. */
export interface ReloadResult {
  /** False where the configuration was the same: then only the certificate files were looked at again. */
  restarted: boolean;
}

/** The gateway together with what watches and steers it from outside: the control socket and HTTP. */
export class Daemon {
  readonly #file: string;
  readonly #dependencies: DaemonDependencies;
  readonly #tails = new Set<(item: TailItem) => void>();
  #options: GatewayOptions;
  #gateway: Gateway;
  #control: ControlServer | undefined;
  /** One reload or stop after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  /** Reads the configuration and starts. Throws ConfigInvalid with every fault, DaemonRunning, Io. */
  static async start(file: string, dependencies: DaemonDependencies): Promise<Daemon> {
    const daemon = new Daemon(file, await readOptions(file), dependencies);
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
    this.#gateway = this.#startGateway();
  }

  /**
   * Reads the configuration again. A faulty one is refused as a whole, and everything goes on as it was.
   * Throws ConfigInvalid.
   */
  reload(): Promise<ReloadResult> {
    return this.#inTurn(async () => {
      const options = await readOptions(this.#file);
      if (isDeepStrictEqual(options, this.#options)) {
        await this.#gateway.reloadIdentities();
        return { restarted: false };
      }
      this.#refuseMoved(options);
      this.#dependencies.logger.info('configuration changed: buses and silos start anew');
      await this.#gateway.stop();
      this.#options = options;
      this.#gateway = this.#startGateway();
      return { restarted: true };
    });
  }

  /** Resolves when everything that was taken in is on disk and every port and file is closed. */
  stop(): Promise<void> {
    return this.#inTurn(async () => {
      await Promise.all([this.#control?.close(), this.#gateway.stop()]);
    });
  }

  async #open(): Promise<void> {
    const { control } = this.#options;
    this.#control = await startControlServer(control.socket, this.#handlers(), this.#dependencies);
  }

  #handlers(): ControlHandlers {
    return {
      status: () => this.#gateway.status(),
      devices: () => this.#gateway.devices(),
      subscribe: (listener) => {
        this.#tails.add(listener);
        return () => this.#tails.delete(listener);
      },
      reload: () => this.reload(),
      request: (method) => {
        throw new MerestoneError('ControlInvalid', `there is no method '${method}'`);
      },
    };
  }

  #startGateway(): Gateway {
    const gateway = new Gateway(this.#options, this.#dependencies);
    gateway.onSamples((silo, samples) => {
      for (const tail of this.#tails) for (const sample of samples) tail({ silo, sample });
    });
    return gateway;
  }

  #refuseMoved({ control, http }: GatewayOptions): void {
    if (isDeepStrictEqual([control, http], [this.#options.control, this.#options.http])) return;
    throw new MerestoneError('ConfigInvalid', 'control and http can not move under a running daemon', {
      subject: this.#file,
      hint: 'restart it',
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

async function readOptions(file: string): Promise<GatewayOptions> {
  const result = await readConfig(file);
  if ('options' in result) return result.options;
  throw new MerestoneError('ConfigInvalid', result.faults.map(formatFault).join('\n'), {
    hint: `'merestone check --config ${file}' says this at any time`,
  });
}
