import { type BatchKey, encodeBatch } from '../messages/telemetry.ts';
import { messageOf, packetBytes } from './mqtt-message.ts';
import type { UplinkOptions } from './options.ts';
import type { PublishRequest } from './uplink.ts';

const telemetryContentType = 'application/vnd.merestone.telemetry+json';

/**
 * A batch as it is published: its JSON bytes as they were hashed into the chain, or the zstd of them as the
 * spool has it, with its key beside them.
 */
export function telemetryRequest(
  batch: { key: BatchKey; payload: Uint8Array; compressed: Uint8Array; durable?: boolean },
  compression: UplinkOptions['compression'],
): PublishRequest {
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
  return compression === 'zstd'
    ? { ...request, payload: batch.compressed, contentEncoding: 'zstd' }
    : request;
}

/** Of a telemetry packet, what is not samples: MQTT's own, topic, properties, and the batch's head. */
export function telemetryOverheadBytes(
  stream: Omit<BatchKey, 'seq'>,
  { protocol, compression }: Pick<UplinkOptions, 'protocol' | 'compression'>,
): number {
  const key = { ...stream, seq: Number.MAX_SAFE_INTEGER };
  const payload = encodeBatch(key, []);
  const request = telemetryRequest({ key, payload, compressed: payload }, compression);
  // The remaining length takes up to three bytes more where there are samples.
  return packetBytes(messageOf(request, stream, protocol)) + 3;
}
