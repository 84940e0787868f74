import { readFileSync } from 'node:fs';
import { connectAsync, type MqttClient } from 'mqtt';
import type { TelemetryBatch } from '../../src/messages/telemetry.ts';
import type { StreamEvent } from '../../src/messages/event.ts';
import type { Site } from './site.ts';

/** Receives all that is published to a broker, with the site's backend certificate. */
export class Subscriber implements AsyncDisposable {
  readonly batches: TelemetryBatch[] = [];
  readonly events: StreamEvent[] = [];
  /** Of all payloads, retained ones and repeated ones included. */
  bytes = 0;
  readonly #client: MqttClient;

  /** `keepsSession`: over the broker's restarts too, so that it misses nothing. */
  static async open(
    site: Site,
    url: string,
    clientId = 'backend',
    { keepsSession = false } = {},
  ): Promise<Subscriber> {
    const client = await connectAsync(url, {
      protocolVersion: 5,
      clientId,
      ...(keepsSession && {
        clean: false,
        reconnectPeriod: 100,
        properties: { sessionExpiryInterval: 3600 },
      }),
      ca: readFileSync(site.path('ca.crt')),
      cert: readFileSync(site.path('backend.crt')),
      key: readFileSync(site.path('backend.key')),
    });
    const subscriber = new Subscriber(client);
    await client.subscribeAsync('t/#', { qos: 1 });
    return subscriber;
  }

  private constructor(client: MqttClient) {
    this.#client = client;
    client.on('message', (topic, payload) => {
      this.bytes += payload.length;
      if (topic.endsWith('/telemetry')) this.batches.push(JSON.parse(payload.toString()) as TelemetryBatch);
      if (topic.endsWith('/event')) this.events.push(JSON.parse(payload.toString()) as StreamEvent);
    });
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
