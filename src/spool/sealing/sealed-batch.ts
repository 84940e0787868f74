import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { chainNext } from '../../messages/hash-chain.ts';
import type { OwnedOrigin } from '../../messages/topic.ts';
import type { DataKey, KeySource } from './keyring.ts';
import { seqOf } from '../state/position.ts';
import type { BatchRow } from '../storage/database-schema.ts';
import { type CipherName, seal, unseal } from '../../base/cipher.ts';

/**
 * Level 1: on batches of readings, higher levels cost more and save nothing. Each call leaves one chunk to
 * the garbage collector, which is slow to free what is outside its heap: small chunks, less memory.
 */
const zstdOptions = { chunkSize: 4096, params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** No batch is ever near it; a payload that claims more is not one of ours. */
const payloadBytesMax = 64 * 1024 * 1024;

export interface BatchContent {
  position: number;
  epoch: string;
  samples: number;
  from_ms: number;
  to_ms: number;
  chain_before: Buffer;
}

/** Payload → row: chained, compressed, sealed, and its clear columns bound to it. */
export function sealBatch(
  origin: OwnedOrigin,
  content: BatchContent,
  payload: Buffer,
  key: DataKey,
  cipher: CipherName,
): BatchRow {
  const chained = { ...content, key: key.id, chain_after: chainNext(content.chain_before, payload) };
  const compressed = compress(payload);
  return { ...chained, sealed: seal(key.secret, cipher, compressed, boundTo(origin, chained)) };
}

/** The zstd of the payload; undefined where one bit of the row is not what was written for this origin. */
export function openBatch(origin: OwnedOrigin, row: BatchRow, keys: KeySource): Buffer | undefined {
  const key = keys.get(row.key);
  return key === undefined ? undefined : unseal(key.secret, row.sealed, boundTo(origin, row));
}

/** As a batch is stored, and sent where the uplink compresses. */
export function compress(payload: Buffer): Buffer {
  return zstdCompressSync(payload, zstdOptions);
}

export function decompress(compressed: Buffer): Buffer {
  return zstdDecompressSync(compressed, { maxOutputLength: payloadBytesMax });
}

function boundTo(origin: OwnedOrigin, row: Omit<BatchRow, 'sealed'>): Buffer {
  const { epoch, key, samples, from_ms, to_ms, chain_before, chain_after } = row;
  const chain = [chain_before.toString('hex'), chain_after.toString('hex')];
  const clear = [epoch, seqOf(row.position), key, samples, from_ms, to_ms, ...chain];
  return Buffer.from(['merestone batch 1', origin.tenant, origin.gateway, ...clear].join('\n'));
}
