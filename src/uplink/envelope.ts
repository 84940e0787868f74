import { constants, zstdCompressSync } from 'node:zlib';
import type { BatchKey } from '../stream/batch.ts';
import type { UplinkOptions } from './options.ts';
import type { PublishRequest } from './uplink.ts';

const telemetryContentType = 'application/vnd.merestone.telemetry+json';

/** Measured on batches: level 3 takes longer and makes them larger. */
const zstdLevel = 1;

/** A batch as it is published: its JSON bytes as they were hashed into the chain, with its key beside them. */
export function telemetryRequest(
  batch: { key: BatchKey; payload: Uint8Array },
  compression: UplinkOptions['compression'],
): PublishRequest {
  const { tenant, gateway, epoch, seq } = batch.key;
  const request: PublishRequest = {
    channel: 'telemetry',
    payload: batch.payload,
    contentType: telemetryContentType,
    userProperties: { tenant, gateway, epoch, seq: String(seq) },
  };
  return compression === 'zstd'
    ? { ...request, payload: compress(batch.payload), contentEncoding: 'zstd' }
    : request;
}

function compress(payload: Uint8Array): Buffer {
  return zstdCompressSync(payload, { params: { [constants.ZSTD_c_compressionLevel]: zstdLevel } });
}
