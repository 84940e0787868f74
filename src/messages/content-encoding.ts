import { constants, zstdDecompressSync } from 'node:zlib';
import { MerestoneError } from '../base/error.ts';
import { documentLimits } from './document-limits.ts';

/** RFC 8878 §3.1.1. No JSON text begins with it, so that it tells on MQTT 3.1.1 too, which has no properties. */
const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** What unpacks to more than this is no batch but a bomb. */
const { bytesMax } = documentLimits.telemetry;

/**
 * Message bytes → the batch's JSON bytes, which are what the chain covers.
 * `contentEncoding` is the MQTT 5 user property, where there was one. Throws StreamInvalid.
 */
export function decodeContent(message: Uint8Array, contentEncoding?: string): Uint8Array {
  const compressed = Buffer.compare(message.subarray(0, zstdMagic.length), zstdMagic) === 0;
  if (contentEncoding !== undefined && contentEncoding !== 'zstd') {
    throw invalid(`its content-encoding is '${contentEncoding}', which is not known`);
  }
  if (contentEncoding === 'zstd' && !compressed) throw invalid('it says content-encoding zstd and is not');
  if (message.length > bytesMax) throw invalid(`it is longer than ${bytesMax} bytes`);
  return compressed ? decompress(message) : message;
}

/** A frame says how much memory its reader must take (RFC 8878 §3.1.1.1.2): no more than the longest batch. */
const params = { [constants.ZSTD_d_windowLogMax]: Math.log2(bytesMax) };

/** Stops as soon as the output passes the limit, so that no more memory is taken than that. */
function decompress(message: Uint8Array): Uint8Array {
  try {
    return zstdDecompressSync(message, { maxOutputLength: bytesMax, params });
  } catch (cause) {
    const tooLong = cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE';
    throw invalid(tooLong ? `it unpacks to more than ${bytesMax} bytes` : 'its zstd is damaged', cause);
  }
}

function invalid(message: string, cause?: unknown): MerestoneError {
  return new MerestoneError('StreamInvalid', message, { cause });
}
