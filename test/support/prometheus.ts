import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { until } from './until.ts';
import { freePort } from './free-port.ts';

/** One series of an answer. */
export interface Found {
  metric: Record<string, string>;
  value: [at: number, value: string];
}

const logBytesMax = 1_000_000;

/**
 * A real Prometheus on 127.0.0.1 that scrapes `targets` (host:port by instance) once a second and evaluates `rules`;
 * `close` leaves nothing behind.
 */
export class Prometheus implements AsyncDisposable {
  readonly #folder: string;
  readonly #port: number;
  readonly #child: ChildProcess;
  #log = '';
  /** Where a test ends without `close`. */
  readonly #vanish = (): void => {
    this.#child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  };

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
    const words = [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ];
    this.#child = spawn('prometheus', words, { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder });
    process.once('exit', this.#vanish);
    this.#child.stderr!.on('data', (text: Buffer) => {
      if (this.#log.length < logBytesMax) this.#log += text.toString();
    });
  }

  static async start(targets: Record<string, string>, rules: string): Promise<Prometheus> {
    const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: [rules],
      scrape_configs: [
        {
          job_name: 'merestone',
          static_configs: Object.entries(targets).map(([instance, target]) => ({
            targets: [target],
            labels: { instance },
          })),
        },
      ],
    };
    writeFileSync(join(folder, 'prometheus.yml'), stringify(config));
    const prometheus = new Prometheus(folder, await freePort());
    try {
      await until(() => prometheus.#isReady(), 'Prometheus is ready');
    } catch (error) {
      await prometheus.close();
      throw new Error(prometheus.#log, { cause: error });
    }
    return prometheus;
  }

  /** The instant vector of `expr` now. Throws with Prometheus's own message if it refuses the expression. */
  async query(expr: string): Promise<Found[]> {
    const data = await this.get(`query?${new URLSearchParams({ query: expr }).toString()}`);
    return (data as { result: Found[] }).result;
  }

  /** `data` of an answer of its API, such as `rules`. */
  async get(path: string): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.#port}/api/v1/${path}`);
    const answer = (await response.json()) as { status: string; error?: string; data: unknown };
    if (answer.status !== 'success') throw new Error(answer.error);
    return answer.data;
  }

  async close(): Promise<void> {
    process.off('exit', this.#vanish);
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const closed = once(this.#child, 'close');
      this.#child.kill('SIGKILL');
      await closed;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #isReady(): Promise<boolean> {
    if (this.#child.exitCode !== null) throw new Error('Prometheus has ended');
    const response = await fetch(`http://127.0.0.1:${this.#port}/-/ready`).catch(() => undefined);
    return response?.ok === true;
  }
}
