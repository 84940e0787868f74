import type { Socket } from 'node:net';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { until } from '../support/until.ts';
import type { Holder } from '../support/pki.ts';

/** How long a broker may take to answer or to hang up. */
const answerMs = 20_000;

/** An MQTT client with a certificate, as hostile as its test wants it. */
export class Party implements Disposable {
  readonly client: MqttClient;
  /** `topic payload` of what arrived, in order. */
  readonly arrived: string[] = [];
  ended = false;
  readonly #closed: Promise<void>;

  private constructor(client: MqttClient) {
    this.client = client;
    client.on('message', (topic, payload) => this.arrived.push(`${topic} ${payload.toString()}`));
    client.on('error', () => {});
    this.#closed = new Promise((resolve) => {
      client.once('close', () => {
        this.ended = true;
        resolve();
      });
    });
  }

  /** Undefined if the broker refuses the connection. */
  static async connect(
    { port, ca, protocolVersion }: { port: number; ca: string; protocolVersion: 4 | 5 },
    { certificatePem, privateKeyPem }: Holder,
    options: IClientOptions,
  ): Promise<Party | undefined> {
    const client = mqtt.connect(`mqtts://localhost:${port}`, {
      ca,
      cert: certificatePem,
      key: privateKeyPem,
      protocolVersion,
      reconnectPeriod: 0,
      connectTimeout: answerMs,
      resubscribe: false,
      ...options,
    });
    const party = new Party(client);
    const welcome = new Promise<boolean>((resolve) => {
      client.once('connect', () => resolve(true));
      client.once('close', () => resolve(false));
    });
    if (await welcome) return party;
    client.end(true);
    return undefined;
  }

  /** Resolves when the broker has answered, with any result, or has closed the connection. */
  async publish(topic: string, payload: string, retain = false): Promise<void> {
    await this.#settled(this.client.publishAsync(topic, payload, { qos: 1, retain }));
  }

  /** True where the broker granted it. */
  async subscribe(filter: string): Promise<boolean> {
    let granted = false;
    const answered = this.client.subscribeAsync(filter, { qos: 1 }).then((grants) => {
      granted = grants.every(({ qos }) => qos < 0x80);
    });
    await this.#settled(answered);
    return granted;
  }

  async receives(line: string): Promise<void> {
    await until(() => this.arrived.includes(line), `${line}; arrived: ${this.arrived.join(', ')}`, answerMs);
  }

  /** Drops the connection as a cable does, so that the will is due. */
  cut(): void {
    (this.client.stream as Socket).destroy();
  }

  async leave(): Promise<void> {
    this.client.end();
    await this.#closed;
  }

  [Symbol.dispose](): void {
    this.client.end(true);
  }

  async #settled(answer: Promise<unknown>): Promise<void> {
    await Promise.race([answer.catch(() => {}), this.#closed]);
  }
}
