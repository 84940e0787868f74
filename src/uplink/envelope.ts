import type { BatchKey } from '../stream/batch.ts';
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
