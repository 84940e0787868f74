import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { BrokerPolicy } from '../../src/broker-policy/policy-file.ts';
import { until } from '../support/until.ts';
import { freePort } from '../support/free-port.ts';

/** What a broker needs besides its policy. */
export interface BrokerMaterial {
  /** All in PEM: its own certificate and key, and the CAs that it trusts to name clients. */
  certificate: string;
  privateKey: string;
  trusted: readonly string[];
  /** Revocation lists, each with the CA's certificate that it is of. */
  revocations: readonly { authority: string; list: string }[];
}

/** Writes a broker's configuration into `folder` and says which programs to start, the broker last. */
export interface BrokerKind {
  /** What its log says when it takes connections. */
  ready: string;
  configure(folder: string, port: number, policy: BrokerPolicy, material: BrokerMaterial): Promise<Program[]>;
}

interface Program {
  command: string;
  arguments: string[];
  environment?: Record<string, string>;
}

/** RabbitMQ takes some five seconds on an idle machine. */
const startMs = 120_000;

export class RunningBroker implements AsyncDisposable {
  readonly port: number;
  log = '';
  readonly #folder: string;
  readonly #ready: string;
  #programs: readonly Program[] = [];
  #children: ChildProcess[] = [];
  readonly #vanish = (): void => {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  };

  private constructor(folder: string, port: number, ready: string) {
    this.#folder = folder;
    this.#ready = ready;
    this.port = port;
    process.once('exit', this.#vanish);
  }

  /** A real broker on 127.0.0.1 with this policy, exactly as `broker-policy --output` writes it. */
  static async start(
    kind: BrokerKind,
    writePolicy: (directory: string) => BrokerPolicy,
    material: BrokerMaterial,
  ): Promise<RunningBroker> {
    const folder = await mkdtemp(join(tmpdir(), 'merestone-broker-'));
    const broker = new RunningBroker(folder, await freePort(), kind.ready);
    const policy = writePolicy(folder);
    for (const { name, text } of policy.files) writeFileSync(join(folder, name), text);
    writeFileSync(join(folder, 'broker.crt'), material.certificate);
    writeFileSync(join(folder, 'broker.key'), material.privateKey, { mode: 0o600 });
    writeFileSync(join(folder, 'clients.crt'), material.trusted.join(''));
    try {
      broker.#programs = await kind.configure(folder, broker.port, policy, material);
      await broker.start();
    } catch (error) {
      await broker[Symbol.asyncDispose]();
      throw error;
    }
    return broker;
  }

  /** Again after `kill`, with the same port and folder; resolves when it takes connections. */
  async start(): Promise<void> {
    this.log = '';
    for (const program of this.#programs) this.#launch(program);
    try {
      await until(() => this.#says(this.#ready), this.#ready, startMs);
    } catch (error) {
      throw new Error(`the broker did not start:\n${this.log}`, { cause: error });
    }
  }

  /** Ends it as a crash does; resolves when it is gone. */
  async kill(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    }
    this.#children = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#vanish);
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  #launch({ command, arguments: words, environment }: Program): void {
    const child = spawn(command, words, {
      cwd: this.#folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.log = (this.log + text).slice(-100_000);
      });
    }
    child.once('error', (error) => {
      this.log += `${error.message}\n`;
    });
    this.#children.push(child);
  }

  #says(text: string): boolean {
    if (this.#children.some(({ exitCode }) => exitCode !== null)) throw new Error('it ended');
    return this.log.includes(text);
  }
}

export const mosquittoBroker: BrokerKind = {
  ready: ' running',
  async configure(folder, port, { settings }, { revocations }) {
    writeFileSync(join(folder, 'revoked.pem'), revocations.map(({ list }) => list).join(''));
    const own = [
      `user ${userInfo().username}`,
      `listener ${port} 127.0.0.1`,
      `cafile ${folder}/clients.crt`,
      `certfile ${folder}/broker.crt`,
      `keyfile ${folder}/broker.key`,
      `crlfile ${folder}/revoked.pem`,
      `persistence_location ${folder}/`,
      'log_type all',
    ];
    writeFileSync(join(folder, 'mosquitto.conf'), `${own.join('\n')}\n${settings!.text}`);
    return [{ command: '/usr/sbin/mosquitto', arguments: ['-c', `${folder}/mosquitto.conf`] }];
  },
};

export const natsBroker: BrokerKind = {
  ready: 'Server is ready',
  async configure(folder, port, { settings }) {
    const tls = `cert_file: "${folder}/broker.crt", key_file: "${folder}/broker.key", ca_file: "${folder}/clients.crt"`;
    const own = [
      'server_name: edge',
      'listen: "127.0.0.1:-1"',
      `jetstream { store_dir: "${folder}/jetstream" }`,
      `mqtt { host: 127.0.0.1, port: ${port}, tls { ${tls}, verify_and_map: true } }`,
    ];
    writeFileSync(join(folder, 'nats-server.conf'), `${own.join('\n')}\n${settings!.text}`);
    return [{ command: '/usr/sbin/nats-server', arguments: ['-c', `${folder}/nats-server.conf`] }];
  },
};

export const rabbitmqBroker: BrokerKind = {
  ready: 'Server startup complete',
  async configure(folder, port, { settings }, { revocations }) {
    const crls = join(folder, 'crls');
    mkdirSync(crls);
    for (const { authority, list } of revocations) {
      const hash = execFileSync('openssl', ['x509', '-noout', '-subject_hash'], { input: authority });
      writeFileSync(join(crls, `${hash.toString().trim()}.r0`), list);
    }
    const own = ['listeners.tcp = none', `mqtt.listeners.ssl.default = 127.0.0.1:${port}`];
    writeFileSync(join(folder, 'rabbitmq.conf'), `${own.join('\n')}\n${settings!.text}`);
    // Revocation has no key in rabbitmq.conf, and options given here take the place of all that are there.
    const tls = [
      `{cacertfile, "${folder}/clients.crt"}, {certfile, "${folder}/broker.crt"}, {keyfile, "${folder}/broker.key"}`,
      '{verify, verify_peer}, {fail_if_no_peer_cert, true}, {crl_check, peer}',
      `{crl_cache, {ssl_crl_hash_dir, {internal, [{dir, "${crls}"}]}}}`,
    ];
    writeFileSync(join(folder, 'advanced.config'), `[{rabbit, [{ssl_options, [${tls.join(', ')}]}]}].\n`);
    writeFileSync(join(folder, 'plugins'), '[rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl].\n');
    writeFileSync(join(folder, '.erlang.cookie'), `cookie${port}`);
    chmodSync(join(folder, '.erlang.cookie'), 0o400);
    const [epmdPort, distributionPort] = [await freePort(), await freePort()];
    const environment = {
      HOME: folder,
      ERL_CRASH_DUMP: join(folder, 'crash'),
      // The script becomes the Erlang machine, whose pid is then ours to end.
      RUNNING_UNDER_SYSTEMD: 'true',
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_NODENAME: `merestone${port}@localhost`,
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
      RABBITMQ_LOGS: '-',
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
      RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    };
    return [
      {
        command: '/usr/bin/epmd',
        arguments: ['-port', String(epmdPort), '-address', '127.0.0.1'],
        environment,
      },
      { command: '/usr/lib/rabbitmq/bin/rabbitmq-server', arguments: [], environment },
    ];
  },
};
