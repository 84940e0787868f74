import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { parseConfig } from '../../src/config/load-config.ts';
import { exampleFolder, exampleNames } from '../support/examples.ts';
import { mutations } from '../support/mutation.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** Profiles have a fuzz of their own; small ones replace them here, for speed. */
const profiles = temporaryDirectory({ after });
const profile = (name: string, kind: string, rest: string): void =>
  writeFileSync(
    path.join(profiles, `${name}.yaml`),
    `{ profile: ${name}, vendor: v, models: [m], description: d, interface: ${kind}, sources: [{ title: t }], ${rest} }`,
  );
profile(
  'eastron-sdm630',
  'modbus-rtu',
  'identify: [{ table: input, address: 0, type: uint16, equals: 1 }], points: [{ name: p, table: input, address: 0, type: uint16 }]',
);
profile('nmea-0183', 'serial', 'identify: x, protocol: { messages: [{ fields: [] }] }');

const file = '/etc/merestone/merestone.yaml';
const mutantsPerExample = 600;

/** Either valid options or faults, each with a place inside the text and words on one line. */
function judge(text: string): 'sound' | 'faulty' {
  const result = parseConfig(file, text, [profiles]);
  if ('options' in result) {
    assert.ok(result.options.silos.length > 0);
    return 'sound';
  }
  assert.ok(result.faults.length > 0);
  const lines = text.split('\n');
  for (const { line, column, message, hint } of result.faults) {
    const where = `${line}:${column}`;
    assert.ok(line >= 1 && line <= lines.length, where);
    assert.ok(column >= 1 && column <= lines[line - 1]!.length + 1, where);
    for (const words of [message, hint]) assert.match(words, /^[^\p{Cc}]+$/u);
  }
  return 'faulty';
}

describe('mutated configurations', () => {
  for (const name of exampleNames) {
    it(`${name}: ${mutantsPerExample} mutants end as options or as faults with a place`, () => {
      const counts = { sound: 0, faulty: 0 };
      for (const mutant of mutations(
        readFileSync(path.join(exampleFolder, name)),
        mutantsPerExample,
        name.length,
      )) {
        const text = mutant.toString('utf8');
        try {
          counts[judge(text)]++;
        } catch (error) {
          throw new Error(`for ${JSON.stringify(text)}`, { cause: error });
        }
      }
      assert.ok(counts.sound > 0 && counts.faulty > 0, JSON.stringify(counts));
    });
  }
});
