import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { SealedStream } from '../support/sealed-stream.ts';
import {
  batchSchema,
  checkpointSchema,
  eventSchema,
  metaSchema,
  statusSchema,
} from '../../src/messages/message-schema.ts';
import {
  batchRowsMax,
  certificatesMax,
  depthMax,
  digitsMax,
  documentLimits,
  metaPointsMax,
} from '../../src/messages/document-limits.ts';
import { channels } from '../../src/messages/topic.ts';
import {
  decodeBatch,
  decodeClaims,
  decodeEvent,
  decodeMeta,
  decodeStatus,
} from '../../src/messages/decoding.ts';

type Json = Record<string, unknown>;
interface Message {
  payload: Json;
  headers?: Json;
  'x-limits'?: Json;
  examples?: { name: string; payload: Json; headers?: Record<string, string> }[];
}
interface AsyncApi {
  channels: Record<string, { address: string; messages: Record<string, { $ref: string }> }>;
  components: { schemas: Record<string, Json>; messages: Record<string, Message> };
}

const text = readFileSync(join(import.meta.dirname, '../../config/asyncapi.yaml'), 'utf8');
const document = parse(text, { merge: true }) as AsyncApi;
const { schemas, messages } = document.components;

const acme = { tenant: 'acme', gateway: 'acme_gw-0001' };
const stream = new SealedStream(acme).appendMany(3);

function accepts(schema: Json, value: unknown): boolean {
  const { $ref } = schema;
  const found = typeof $ref === 'string' ? (resolve($ref) as Json) : schema;
  return z.fromJSONSchema(found).safeParse(value).success;
}

function resolve(ref: string): unknown {
  const [root, ...steps] = ref.split('/');
  assert.equal(root, '#');
  return steps.reduce<unknown>((node, step) => {
    assert.ok(typeof node === 'object' && node !== null && step in node, `${ref} leads nowhere`);
    return (node as Json)[step];
  }, document);
}

describe('config/asyncapi.yaml', () => {
  const ours = {
    TelemetryBatch: batchSchema,
    CheckpointClaims: checkpointSchema,
    Event: eventSchema,
    Meta: metaSchema,
    Status: statusSchema,
  };
  for (const [name, schema] of Object.entries(ours)) {
    it(`has the code's own schema of ${name}`, () => {
      const { $schema: _dialect, ...json } = z.toJSONSchema(schema);
      assert.deepEqual(schemas[name], json, `it should be:\n${stringify({ [name]: json })}`);
    });
  }

  it('has the limits of the code', () => {
    const common = { depthMax, digitsMax };
    const { telemetry, status, meta, event, checkpoint } = documentLimits;
    const expected = {
      batch: { ...telemetry, ...common, rowsMax: batchRowsMax },
      status: { ...status, ...common },
      meta: { ...meta, ...common, pointsMax: metaPointsMax },
      event: { ...event, ...common },
      checkpoint: { ...checkpoint, ...common, certificatesMax },
    };
    for (const [name, limits] of Object.entries(expected)) {
      assert.deepEqual(messages[name]!['x-limits'], limits, name);
    }
    assert.equal(messages['checkpoint']!.payload['maxLength'], checkpoint.bytesMax);
  });

  it('bounds every text, list and open set of names', () => {
    const unbounded: string[] = [];
    const visit = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return;
      const { type, pattern, maxLength, maxItems, maximum, ...more } = node as Json;
      const bounded = {
        string: maxLength ?? pattern ?? more['const'] ?? more['enum'],
        array: maxItems,
        integer: maximum,
      };
      for (const each of Array.isArray(type) ? type : [type]) {
        if (each in bounded && bounded[each as keyof typeof bounded] === undefined) unbounded.push(path);
      }
      for (const [name, inner] of Object.entries(node)) visit(inner, `${path}/${name}`);
    };
    for (const name of Object.keys(ours)) visit(schemas[name], name);
    assert.deepEqual(unbounded, []);
  });

  it('has every channel, and no reference that leads nowhere', () => {
    assert.deepEqual(Object.keys(document.channels).toSorted(), [...channels].toSorted());
    for (const [name, channel] of Object.entries(document.channels)) {
      assert.equal(channel.address, `t/{tenant}/{gateway}/${name}`);
    }
    for (const [, ref] of text.matchAll(/\$ref: "([^"]+)"/g)) resolve(ref!);
  });

  it('has examples that its schemas and the code accept', () => {
    const decoders = { batch: decodeBatch, event: decodeEvent, meta: decodeMeta, status: decodeStatus };
    for (const [name, decode] of Object.entries(decoders)) {
      const { payload, headers, examples = [] } = messages[name]!;
      assert.ok(examples.length > 0, name);
      for (const example of examples) {
        assert.ok(accepts(payload, example.payload), example.name);
        if (example.headers !== undefined) assert.ok(accepts(headers!, example.headers), example.name);
        decode(acme, Buffer.from(JSON.stringify(example.payload)), example.headers);
      }
    }
  });

  it('has schemas that accept what a gateway makes', () => {
    assert.ok(accepts(schemas['TelemetryBatch']!, JSON.parse(stream.payload(2).toString())));
    assert.ok(accepts(schemas['Event']!, stream.lost('quarantined', 1, 2)));
    assert.ok(accepts(schemas['CheckpointClaims']!, stream.claims()));
    const previous = { epoch: stream.epoch, ...stream.place(3) };
    assert.ok(accepts(schemas['CheckpointClaims']!, stream.claims(1, { previous })));
    decodeClaims(acme, Buffer.from(JSON.stringify(stream.claims(0))));
  });

  it('has schemas that refuse what the code refuses', () => {
    const batch = JSON.parse(stream.payload(1).toString()) as Json & { samples: Json[] };
    const sample = batch.samples[0]!;
    const wrong: [string, unknown][] = [
      ['TelemetryBatch', { ...batch, seq: 0 }],
      ['TelemetryBatch', { ...batch, tenant: 'a/b' }],
      ['TelemetryBatch', { ...batch, extra: 1 }],
      ['TelemetryBatch', { ...batch, samples: [{ ...sample, quality: { p: 'bad' } }] }],
      ['TelemetryBatch', { ...batch, samples: [{ ...sample, values: { p: null } }] }],
      ['Event', { ...stream.lost('dropped', 1, 2), chainAfter: 'x' }],
      ['CheckpointClaims', { ...stream.claims(), chain: undefined }],
      ['Status', { v: 1, ...acme }],
    ];
    for (const [name, value] of wrong)
      assert.ok(!accepts(schemas[name]!, JSON.parse(JSON.stringify(value))), name);
  });
});
