import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { formatFault } from '../../src/config/fault-line.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { configJsonSchema } from '../../src/config/config-schema.ts';
import { overloads } from '../../src/fieldbus/overload.ts';
import { exampleFolder, exampleNames } from '../support/examples.ts';

const root = path.join(import.meta.dirname, '../..');

describe('config/', () => {
  for (const name of exampleNames) {
    it(`${name} is sound and fits its buses`, () => {
      const result = loadConfig(path.join(exampleFolder, name));
      if ('faults' in result) assert.fail(result.faults.map(formatFault).join('\n'));
      assert.deepEqual(overloads(result.options.buses, result.options.devices), []);
    });
  }

  it('has an example for each situation', () => {
    assert.deepEqual(exampleNames.sort(), [
      'building-two-processes.yaml',
      'building-two-tenants.yaml',
      'one-meter-rtu.yaml',
      'plant-tcp.yaml',
      'serial-sensors.yaml',
    ]);
  });

  it('merestone.schema.json is what the code accepts (node scripts/config-schema.ts writes it)', () => {
    const published: unknown = JSON.parse(
      readFileSync(path.join(exampleFolder, 'merestone.schema.json'), 'utf8'),
    );
    assert.deepEqual(published, JSON.parse(JSON.stringify(configJsonSchema())));
  });
});

describe('docs/configuration.md', () => {
  const text = readFileSync(path.join(root, 'docs/configuration.md'), 'utf8');

  it('has every key, with its default', () => {
    const missing = [...keysOf(configJsonSchema())].filter(
      ({ key, value }) =>
        !text
          .split('\n')
          .some((line) => line.startsWith('|') && line.includes(`\`${key}\``) && line.includes(value)),
    );
    assert.deepEqual(missing, []);
  });
});

interface JsonSchema {
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  default?: unknown;
}

/**
 * Every key of the schema with its default as text, '' where it has none; protocols are described in docs/profiles.md.
 */
function* keysOf({
  properties = {},
  items,
  anyOf = [],
  oneOf = [],
}: JsonSchema): Generator<{ key: string; value: string }> {
  for (const [key, schema] of Object.entries(properties)) {
    const isPlain = ['string', 'number', 'boolean'].includes(typeof schema.default);
    yield { key, value: isPlain ? `\`${String(schema.default)}\`` : '' };
    if (key !== 'protocol' || schema.properties === undefined) yield* keysOf(schema);
  }
  for (const inner of [...(items ? [items] : []), ...anyOf, ...oneOf]) yield* keysOf(inner);
}
