import { version } from '../../base/version.ts';
import type { MetaDocument, StatusDocument } from '../../messages/retained.ts';
import { encodeBatch } from '../../messages/telemetry.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import { messageOf, packetBytes } from '../mqtt-message.ts';
import type { UplinkOptions } from '../options.ts';
import type { PublishRequest } from '../uplink.ts';
import type { DescribedDevices, Encoder, OutgoingBatch, SessionFacts } from './encoder.ts';

const telemetryContentType = 'application/vnd.merestone.telemetry+json';

type JsonOptions = Pick<UplinkOptions, 'protocol' | 'compression'>;

/** The documents of docs/backend.md, each as one JSON message on its own topic. */
export class JsonEncoder implements Encoder {
  readonly messagesPerBatchMax = 1;
  readonly #origin: OwnedOrigin;
  readonly #options: JsonOptions;

  constructor(origin: OwnedOrigin, options: JsonOptions) {
    this.#origin = origin;
    this.#options = options;
  }

  will(session: SessionFacts): PublishRequest {
    return this.#status(false, session);
  }

  birth(session: SessionFacts): PublishRequest {
    return this.#status(true, session);
  }

  meta({ at, configSha256, devices }: DescribedDevices): PublishRequest {
    const document: MetaDocument = { v: 1, ...this.#origin, at, version, configSha256, devices };
    return { channel: 'meta', payload: encodeJson(document), retain: true, contentType: 'application/json' };
  }

  /** The JSON bytes as they were hashed into the chain, or the zstd of them, with the batch's key beside them. */
  telemetry(batch: OutgoingBatch): [PublishRequest] {
    const { tenant, gateway, epoch, seq } = batch.key;
    const request: PublishRequest = {
      channel: 'telemetry',
      payload: batch.payload,
      contentType: telemetryContentType,
      userProperties: {
        tenant,
        gateway,
        epoch,
        seq: String(seq),
        ...(batch.durable === false && { durable: 'false' }),
      },
    };
    if (this.#options.compression === 'none') return [request];
    return [{ ...request, payload: batch.compressed, contentEncoding: 'zstd' }];
  }

  event(payload: Uint8Array): PublishRequest {
    return { channel: 'event', payload, contentType: 'application/json' };
  }

  checkpoint(jws: string, retain: boolean): PublishRequest {
    return { channel: 'checkpoint', payload: Buffer.from(jws), retain, contentType: 'application/jose' };
  }

  packetBytes(request: PublishRequest): number {
    return packetBytes(messageOf(request, this.#origin, this.#options.protocol));
  }

  /** MQTT's own, topic, properties, and the batch's head. */
  overheadBytes(epoch: string): number {
    const key = { ...this.#origin, epoch, seq: Number.MAX_SAFE_INTEGER };
    const payload = encodeBatch(key, []);
    const [request] = this.telemetry({ key, payload, compressed: payload });
    // The remaining length takes up to three bytes more where there are samples.
    return this.packetBytes(request) + 3;
  }

  #status(online: boolean, { since, epoch }: SessionFacts): PublishRequest {
    const document: StatusDocument = { v: 1, ...this.#origin, online, since, version, epoch };
    return {
      channel: 'status',
      payload: encodeJson(document),
      retain: true,
      contentType: 'application/json',
    };
  }
}

function encodeJson(document: MetaDocument | StatusDocument): Buffer {
  return Buffer.from(JSON.stringify(document));
}
