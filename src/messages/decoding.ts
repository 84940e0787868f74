import type { z } from 'zod';
import { MerestoneError } from '../base/error.ts';
import { atOnce, type Steps } from '../base/steps.ts';
import type { PublishedSample, TelemetryBatch } from './telemetry.ts';
import type { CheckpointClaims } from './checkpoint.ts';
import { decodeContent } from './content-encoding.ts';
import type { EventProof, StreamEvent } from './event.ts';
import {
  batchRowsMax,
  batchSamplesMax,
  documentLimits,
  metaDevicesMax,
  metaPointsMax,
  samplePointsMax,
} from './document-limits.ts';
import type { MetaDocument, StatusDocument } from './retained.ts';
import { isSample } from './sample-check.ts';
import {
  anyEventSchema,
  batchSchema,
  checkpointSchema,
  deviceSchema,
  eventSchema,
  metaSchema,
  proofSchema,
  sampleSchema,
  statusSchema,
} from './message-schema.ts';
import { parseStrictJson, parseStrictJsonSteps } from './strict-json.ts';
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
  return atOnce(decodeBatchSteps(origin, message, properties));
}

/** The same in steps, as a batch may be large. */
export function* decodeBatchSteps(
  origin: Origin,
  message: Uint8Array,
  properties: UserProperties,
): Steps<ReceivedBatch> {
  const encoding = properties['content-encoding'];
  const payload = decodeContent(message, encoding === undefined ? undefined : String(encoding));
  yield;
  const document = yield* parseStrictJsonSteps(payload, documentLimits.telemetry);
  let rows = 0;
  const samples = yield* takeList(document, 'samples', batchSamplesMax, (sample, place) => {
    rows += membersOf(sample, 'values', place) + membersOf(sample, 'quality', place);
    if (rows > batchRowsMax) throw invalid(`it has more than ${batchRowsMax} values and qualities`);
    const checked = isSample(sample) ? sample : check(sampleSchema, closed(sample, place), place());
    holdTogether(checked);
    return checked;
  });
  const batch: TelemetryBatch = {
    ...check(
      batchSchema,
      closed(document, () => ''),
    ),
    samples,
  };
  holdToTopic(origin, batch, 'payload');
  holdToProperties(batch, properties);
  return { batch, payload };
}

/** A point has a value, or a quality that says why not, or is implausible and has both. */
function holdTogether({ values, quality }: PublishedSample): void {
  for (const [point, reason] of Object.entries(quality ?? {})) {
    const hasValue = Object.hasOwn(values, point);
    if (hasValue && reason !== 'implausible')
      throw invalid(`'${point}' has a value and a quality that says it was not read`);
    if (!hasValue && reason === 'implausible') throw invalid(`'${point}' is implausible and has no value`);
  }
}

/** An event of a kind unknown to this version is `undefined`: it is well-formed and means nothing to us. */
export function decodeEvent(origin: Origin, message: Uint8Array): StreamEvent | undefined {
  const known = eventSchema.options.map((option) => option.shape.kind.value as string);
  const document = parseStrictJson(message, documentLimits.event);
  const any = check(anyEventSchema, document);
  holdToTopic(origin, any, 'event');
  if (!known.includes(any.kind)) return undefined;
  const event: StreamEvent = check(eventSchema, document);
  if ('seqFrom' in event && event.seqFrom > event.seqTo) {
    throw invalid(`a run of batches from ${event.seqFrom} to ${event.seqTo} is none`);
  }
  return event;
}

/** The claims of an event's proof whose signature has been verified. */
export function decodeProof(origin: Origin, payload: Uint8Array): EventProof {
  const { signedAt } = check(proofSchema, parseStrictJson(payload, documentLimits.event));
  const event = decodeEvent(origin, payload);
  if (event === undefined) throw invalid('it is about an event of an unknown kind');
  return { ...event, signedAt };
}

/** The claims of a checkpoint whose signature has been verified. */
export function decodeClaims(origin: Origin, payload: Uint8Array): CheckpointClaims {
  const claims: CheckpointClaims = check(
    checkpointSchema,
    parseStrictJson(payload, documentLimits.checkpoint),
  );
  holdToTopic(origin, claims, 'checkpoint');
  return claims;
}

export function decodeMeta(origin: Origin, message: Uint8Array): MetaDocument {
  return atOnce(decodeMetaSteps(origin, message));
}

/** The same in steps, as there may be many points. */
export function* decodeMetaSteps(origin: Origin, message: Uint8Array): Steps<MetaDocument> {
  const document = yield* parseStrictJsonSteps(message, documentLimits.meta);
  let points = 0;
  const devices = yield* takeList(document, 'devices', metaDevicesMax, (device, place) => {
    points += itemsOf(device, 'points', place);
    if (points > metaPointsMax) throw invalid(`it has more than ${metaPointsMax} points`);
    return check(deviceSchema, device, place());
  });
  const meta: MetaDocument = { ...check(metaSchema, document), devices };
  holdToTopic(origin, meta, 'meta');
  return meta;
}

export function decodeStatus(origin: Origin, message: Uint8Array): StatusDocument {
  const status = check(statusSchema, parseStrictJson(message, documentLimits.status));
  holdToTopic(origin, status, 'status');
  return status;
}

/**
 * Takes a list out of a document and checks it item by item, so that the first fault ends it: a schema would
 * collect the faults of a million items. The document keeps an empty list.
 */
function* takeList<Item>(
  document: unknown,
  member: string,
  itemsMax: number,
  take: (item: unknown, place: Place) => Item,
): Steps<Item[]> {
  if (itemsOf(document, member, () => '', itemsMax) === 0) return [];
  const holder = document as Record<string, unknown[]>;
  const items: Item[] = [];
  for (const [index, item] of holder[member]!.entries()) {
    items.push(take(item, () => `${member}[${index}]`));
    if (index % stepItems === 0) yield;
  }
  holder[member] = [];
  return items;
}

/** Where something stands; made into words only where there is a fault. */
type Place = () => string;

/** Items between two steps: one has up to 2,000 members. */
const stepItems = 4;

/** Items of a list, 0 if it is not a list, which its schema reports. */
function itemsOf(holder: unknown, member: string, place: Place, itemsMax = samplePointsMax): number {
  const list = ownMember(holder, member);
  if (!Array.isArray(list)) return 0;
  if (list.length > itemsMax) throw invalid(`${join(place(), member)}: has more than ${itemsMax} items`);
  return list.length;
}

function membersOf(holder: unknown, member: string, place: Place): number {
  const record = ownMember(holder, member);
  if (typeof record !== 'object' || record === null) return 0;
  const { length } = Object.keys(record);
  if (length > samplePointsMax) {
    throw invalid(`${join(place(), member)}: has more than ${samplePointsMax} points`);
  }
  return length;
}

/** A document that may have no unknown members: a schema would name all of them. */
function closed(document: unknown, place: Place): unknown {
  const { length } = typeof document === 'object' && document !== null ? Object.keys(document) : [];
  if (length <= knownMembersMax) return document;
  const where = place();
  throw invalid(`${where}${where && ': '}has ${length} members, most of them unknown`);
}

function ownMember(holder: unknown, member: string): unknown {
  if (typeof holder !== 'object' || holder === null) return undefined;
  return (holder as Record<string, unknown>)[member];
}

/** No object of a batch has more known ones. */
const knownMembersMax = 16;

/** Values are never repeated in a reason: reasons end up in logs, values are the tenant's. */
function check<Schema extends z.ZodType>(schema: Schema, value: unknown, place = ''): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const path = issue.path.reduce<string>((path, step) => join(path, step), place);
  throw invalid(path === '' ? issue.message : `${path}: ${issue.message}`);
}

function join(path: string, step: PropertyKey): string {
  return typeof step === 'number' ? `${path}[${step}]` : `${path}${path && '.'}${String(step)}`;
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

/** A reason may name members, and a member's name may be as long as the document. */
const reasonTextMax = 300;

function invalid(message: string): MerestoneError {
  const short = message.length > reasonTextMax ? `${message.slice(0, reasonTextMax)}…` : message;
  return new MerestoneError('StreamInvalid', short);
}

function foreign(message: string): MerestoneError {
  return new MerestoneError('StreamForeign', message);
}
