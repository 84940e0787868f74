import { z } from 'zod';
import { registerTypes } from '../reading/point.ts';
import type { Quality } from '../reading/quality.ts';
import {
  batchSamplesMax,
  metaDevicesMax,
  nameTextMax,
  proofBytesMax,
  samplePointsMax,
  unitTextMax,
  valueTextMax,
  wordsTextMax,
} from './document-limits.ts';

/** The documents of the topics, as a reader holds them to the contract; config/asyncapi.yaml is made of these. */

const segment = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'is not 1 to 64 of A-Z a-z 0-9 _ -');
// Names end up in files, logs and terminals.
const name = z
  .string()
  .min(1, 'is empty')
  .max(nameTextMax, `is longer than ${nameTextMax} characters`)
  .refine((text) => !/\p{Cc}/u.test(text), 'has control characters')
  .describe('no control characters');
/** Up to the end of the year 9999, the last that ISO 8601 writes with four digits. */
const ms = z.int().min(0).max(253_402_300_799_999).describe('ms since 1970 UTC');
const count = z.int().min(0);
const seq = z.int().min(1);
const hash = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'is not 64 lower-case hex digits')
  .describe('SHA-256');
const words = z.string().max(wordsTextMax, `is longer than ${wordsTextMax} characters`);
const short = z.string().max(64, 'is longer than 64 characters');
const origin = { v: z.literal(1), tenant: segment, gateway: segment };

export const qualityPattern =
  /^(?:timeout|exception:(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])|crc|invalid|stale|offline|implausible)$/;
const quality = z.string().regex(qualityPattern, 'is no quality') as unknown as z.ZodType<Quality>;

const text = z.string().max(valueTextMax, `is longer than ${valueTextMax} characters`);
const perPoint = { maxProperties: samplePointsMax };

export const sampleSchema = z.strictObject({
  device: name,
  ts: ms,
  clock: z.exactOptional(z.literal('estimated')),
  values: z.record(name, z.union([z.number(), z.boolean(), text])).meta(perPoint),
  quality: z.exactOptional(z.record(name, quality).meta(perPoint)),
});

const durable = z
  .exactOptional(z.literal(false))
  .describe(
    'no disk had it when it was sent: a power cut would have cost it, and its epoch ends with the process',
  );

export const batchSchema = z.strictObject({
  ...origin,
  epoch: segment,
  seq,
  durable,
  samples: z.array(sampleSchema).max(batchSamplesMax),
});

const head = { epoch: segment, seq: count, chain: hash };

export const checkpointSchema = z.strictObject({
  ...origin,
  ...head,
  samples: count,
  from: ms.nullable(),
  to: ms.nullable(),
  at: ms,
  durable,
  previous: z.exactOptional(z.strictObject(head)),
});

const lostRun = {
  reason: words,
  epoch: segment,
  seqFrom: seq,
  seqTo: seq,
  batches: count,
  samples: count,
  from: ms.nullable(),
  to: ms.nullable(),
  chainBefore: hash.nullable(),
  chainAfter: hash.nullable(),
};

const eventHead = {
  ...origin,
  id: segment,
  at: ms,
  proof: z.exactOptional(
    z.string().max(proofBytesMax).describe('compact JWS over the other members and signedAt'),
  ),
};

/** Members that a newer gateway adds are let through: an event tells, it is not summed up. */
export const eventSchema = z.discriminatedUnion('kind', [
  z.looseObject({ ...eventHead, kind: z.literal('dropped'), ...lostRun }),
  z.looseObject({ ...eventHead, kind: z.literal('quarantined'), ...lostRun }),
  z.looseObject({
    ...eventHead,
    kind: z.literal('samples-dropped'),
    reason: words,
    samples: count,
    from: ms.nullable(),
    to: ms.nullable(),
  }),
  z.looseObject({
    ...eventHead,
    kind: z.literal('epoch-started'),
    epoch: segment,
    reason: words,
    previous: z.looseObject(head).nullable(),
  }),
  z.looseObject({
    ...eventHead,
    kind: z.literal('identity-changed'),
    fingerprintSha256: hash,
    previousFingerprintSha256: hash.nullable(),
    notAfter: ms,
  }),
  z.looseObject({
    ...eventHead,
    kind: z.literal('storage-failed'),
    state: z.enum(['began', 'ended']),
    reason: words,
    epoch: segment.describe('of the batches that come meanwhile, with durable: false'),
    forMs: count.describe('how long it lasted; 0 at its beginning'),
  }),
  z.looseObject({
    ...eventHead,
    kind: z.literal('quota'),
    quota: short,
    limit: z.number(),
    state: z.enum(['reached', 'cleared']),
  }),
  z.looseObject({ ...eventHead, kind: z.literal('audit'), entry: z.record(words, z.unknown()) }),
]);

/** An event of a kind that this reader does not know yet. */
export const anyEventSchema = z.looseObject({ ...eventHead, kind: name });

export const proofSchema = z.looseObject({ signedAt: ms });

const limit = z
  .union([z.number(), z.string().regex(/^-?\d{1,20}$/)])
  .describe('of what is plausible, in the unit; an integer beyond 2^53 is a decimal string');
const point = z.looseObject({
  name,
  type: z.enum(registerTypes),
  unit: z.exactOptional(z.string().max(unitTextMax, `is longer than ${unitTextMax} characters`)),
  min: z.exactOptional(limit),
  max: z.exactOptional(limit),
});
export const deviceSchema = z.looseObject({
  name,
  profile: z.exactOptional(name),
  profileSha256: z.exactOptional(hash),
  points: z.array(point).max(samplePointsMax),
});

export const metaSchema = z.looseObject({
  ...origin,
  at: ms,
  version: short,
  configSha256: hash,
  devices: z.array(deviceSchema).max(metaDevicesMax),
});

export const statusSchema = z.looseObject({
  ...origin,
  online: z.boolean(),
  since: ms,
  version: short,
  epoch: segment,
});
