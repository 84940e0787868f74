import { z } from 'zod';
import { checksumEncodings, placedChecksumKinds } from '../../fieldbus/options.ts';
import type {
  ChecksumEncoding,
  ChecksumOptions,
  Framing,
  PlacedChecksumKind,
} from '../../fieldbus/options.ts';
import { bytes, duration } from './profile-scalars.ts';

/**
 * After noise the reader searches for a frame byte by byte, which is cheap up to this length; no known telegram is
 * longer.
 */
const bytesMax = z
  .int()
  .min(1)
  .max(8192)
  .default(1024)
  .describe('longest frame in bytes; what is longer is noise');
const start = bytes('bytes that every frame begins with');

export const framing: z.ZodType<Framing> = z
  .discriminatedUnion('by', [
    z.strictObject({ by: z.literal('line'), bytesMax }),
    z.strictObject({ by: z.literal('delimiter'), delimiter: bytes('bytes between frames'), bytesMax }),
    z.strictObject({
      by: z.literal('fixed-length'),
      start,
      length: z.int().min(1).max(4096).describe('bytes of a whole frame'),
    }),
    z.strictObject({
      by: z.literal('length-field'),
      start,
      offset: z.int().min(0).max(64).describe('offset of the length field, from the frame’s first byte'),
      size: z
        .union([z.literal(1), z.literal(2)])
        .default(1)
        .describe('bytes of the length'),
      order: z.enum(['big', 'little']).default('big'),
      adjust: z.int().min(-64).max(64).describe('what to add to it to have the whole frame’s length'),
      bytesMax,
    }),
    z.strictObject({
      by: z.literal('start-end'),
      start,
      end: bytes('bytes that end the frame'),
      trailer: z
        .int()
        .min(0)
        .max(16)
        .default(0)
        .describe('bytes after the end that belong to it, such as a CRC'),
      bytesMax,
    }),
    z
      .strictObject({
        by: z.literal('silence'),
        silence: duration('pause that ends a frame'),
        bytesMax,
      })
      .transform(({ silence, ...rest }) => ({ ...rest, silenceMs: silence })),
  ])
  .describe('where a frame begins and ends');

const checksumName = z.enum(['none', 'nmea-0183', 'nmea-0183-optional', ...placedChecksumKinds]);
export const checksum = z
  .union([
    checksumName.transform((kind) => placed(kind)),
    z
      .strictObject({
        kind: z.enum(placedChecksumKinds),
        from: z.int().optional().describe('first byte covered; negative counts from the end; 0 where absent'),
        to: z.int().optional().describe('one past the last byte covered; the check’s own offset if absent'),
        at: z.int().optional().describe('offset of the check; the end of the frame if absent'),
        encoding: z.enum(checksumEncodings).optional(),
      })
      .transform(({ kind, ...where }) => placed(kind, where)),
  ])
  .describe('check of the frame; a frame whose check does not hold never becomes a value');

interface Placement {
  from?: number | undefined;
  to?: number | undefined;
  at?: number | undefined;
  encoding?: ChecksumEncoding | undefined;
}

/** Those whose usual place in a frame has the low byte first. */
const littleEndianKinds: ReadonlySet<string> = new Set(['crc16-modbus', 'crc16-arc', 'crc16-x25']);

function placed(kind: z.output<typeof checksumName>, where: Placement = {}): ChecksumOptions {
  if (kind === 'none' || kind === 'nmea-0183' || kind === 'nmea-0183-optional') return { kind };
  const encoding = where.encoding ?? (littleEndianKinds.has(kind) ? 'binary-little' : 'binary-big');
  const at = where.at ?? -checkLength(kind, encoding);
  return { kind, from: where.from ?? 0, to: where.to ?? at, at, encoding };
}

function checkLength(kind: PlacedChecksumKind, encoding: ChecksumEncoding): number {
  const byteCount = kind.includes('16') ? 2 : 1;
  if (encoding === 'sdi-12') return 3;
  return encoding === 'hex' ? 2 * byteCount : byteCount;
}
