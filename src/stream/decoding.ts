import type { z } from 'zod';
import { MerestoneError } from '../base/error.ts';
import type { TelemetryBatch } from './batch.ts';
import type { CheckpointClaims } from './checkpoint.ts';
import { decodeContent } from './content-encoding.ts';
import type { EventProof, StreamEvent } from './event.ts';
import type { MetaDocument, StatusDocument } from './retained.ts';
import {
  anyEventSchema,
  batchSchema,
  checkpointSchema,
  eventSchema,
  metaSchema,
  proofSchema,
  statusSchema,
} from './schema.ts';
import { parseStrictJson } from './strict-json.ts';
import type { Origin } from './topic.ts';

/** MQTT 5 user properties that a batch may carry beside its payload; a property sent twice is an array. */
export type UserProperties = Readonly<Record<string, string | string[]>>;

export interface ReceivedBatch {
  batch: TelemetryBatch;
  /** The uncompressed JSON bytes, exactly as the chain covers them. */
  payload: Uint8Array;
}

/*
 * All decoders below take the origin that the topic names, which is what the broker holds to the
 * sender's certificate. They throw StreamInvalid with the exact reason, or StreamForeign where the
 * document names another tenant or gateway than its topic.
 */

export function decodeBatch(
  origin: Origin,
  message: Uint8Array,
  properties: UserProperties = {},
): ReceivedBatch {
  const encoding = properties['content-encoding'];
  const payload = decodeContent(message, encoding === undefined ? undefined : String(encoding));
  const batch: TelemetryBatch = check(batchSchema, payload);
  for (const sample of batch.samples) {
    for (const [point, quality] of Object.entries(sample.quality ?? {})) {
      const hasValue = Object.hasOwn(sample.values, point);
      if (hasValue && quality !== 'implausible')
        throw invalid(`'${point}' has a value and a quality that says it was not read`);
      if (!hasValue && quality === 'implausible') throw invalid(`'${point}' is implausible and has no value`);
    }
  }
  holdToTopic(origin, batch, 'payload');
  holdToProperties(batch, properties);
  return { batch, payload };
}

/** An event of a kind unknown to this version is `undefined`: it is well-formed and means nothing to us. */
export function decodeEvent(origin: Origin, message: Uint8Array): StreamEvent | undefined {
  const known = eventSchema.options.map((option) => option.shape.kind.value as string);
  const any = check(anyEventSchema, message);
  holdToTopic(origin, any, 'event');
  if (!known.includes(any.kind)) return undefined;
  const event: StreamEvent = check(eventSchema, message);
  if ('seqFrom' in event && event.seqFrom > event.seqTo) {
    throw invalid(`a run of batches from ${event.seqFrom} to ${event.seqTo} is none`);
  }
  return event;
}

/** The claims of an event's proof whose signature has been verified. */
export function decodeProof(origin: Origin, payload: Uint8Array): EventProof {
  const { signedAt } = check(proofSchema, payload);
  const event = decodeEvent(origin, payload);
  if (event === undefined) throw invalid('it is about an event of an unknown kind');
  return { ...event, signedAt };
}

/** The claims of a checkpoint whose signature has been verified. */
export function decodeClaims(origin: Origin, payload: Uint8Array): CheckpointClaims {
  const claims: CheckpointClaims = check(checkpointSchema, payload);
  holdToTopic(origin, claims, 'checkpoint');
  return claims;
}

export function decodeMeta(origin: Origin, message: Uint8Array): MetaDocument {
  const meta = check(metaSchema, message);
  holdToTopic(origin, meta, 'meta');
  return meta;
}

export function decodeStatus(origin: Origin, message: Uint8Array): StatusDocument {
  const status = check(statusSchema, message);
  holdToTopic(origin, status, 'status');
  return status;
}

/** Values are never repeated in a reason: reasons end up in logs, values are the tenant's. */
function check<Schema extends z.ZodType>(schema: Schema, json: Uint8Array): z.output<Schema> {
  const result = schema.safeParse(parseStrictJson(json));
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const place = issue.path.reduce<string>(
    (path, step) => (typeof step === 'number' ? `${path}[${step}]` : `${path}${path && '.'}${String(step)}`),
    '',
  );
  throw invalid(place === '' ? issue.message : `${place}: ${issue.message}`);
}

function holdToTopic(topic: Origin, document: Origin, what: string): void {
  for (const part of ['tenant', 'gateway'] as const) {
    if (document[part] !== topic[part]) {
      throw foreign(`the topic says ${part} ${topic[part]}, the ${what} says ${document[part]}`);
    }
  }
}

function holdToProperties(batch: TelemetryBatch, properties: UserProperties): void {
  for (const part of ['tenant', 'gateway', 'epoch', 'seq'] as const) {
    const said = properties[part];
    if (said !== undefined && said !== String(batch[part])) {
      throw foreign(`the property ${part} says ${String(said)}, the payload says ${batch[part]}`);
    }
  }
}

function invalid(message: string): MerestoneError {
  return new MerestoneError('StreamInvalid', message);
}

function foreign(message: string): MerestoneError {
  return new MerestoneError('StreamForeign', message);
}
