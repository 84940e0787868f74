import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { protocolSchema } from '../../../src/config/profile/protocol-schema.ts';
import { compileMessages } from '../../../src/fieldbus/serial/message-reader.ts';
import { compileOccurrence } from '../../../src/fieldbus/serial/occurrence.ts';
import { text } from './rig.ts';

const of = (source: Omit<Parameters<typeof compileOccurrence>[0], 'by'>) => {
  const find = compileOccurrence({ by: 'pattern', ...source });
  return (frame: string): string | undefined => {
    const found = find(text(frame));
    return found?.kind === 'found' ? found.text : found?.kind;
  };
};

describe('a value with several occurrences in a frame', () => {
  it('is the first one by default', () => {
    assert.equal(of({ pattern: 'a=(\\d)' })('a=1 a=2'), '1');
    assert.equal(of({ pattern: 'a=(\\d)' })('b=1'), undefined);
    assert.equal(of({ pattern: '(?<unit>a)=(?<value>\\d)' })('a=1'), '1');
  });

  it('is the one whose context matches `where` and not `unless`', () => {
    const which = { pattern: '^(?<name>\\w+)=(?<value>\\d)' };
    assert.equal(of({ ...which, where: '^{name} is on$' })('x=1\ny=2\ny is on'), '2');
    assert.equal(of({ ...which, unless: '^{name} is off$' })('x=1\ny=2\nx is off'), '2');
    assert.equal(of({ ...which, where: '^{name} is on$' })('x=1\ny=2'), undefined);
    assert.equal(
      of({ ...which, where: '^{name} is on$', unless: '^{name} is off$' })('x=1\nx is on\nx is off'),
      undefined,
    );
  });

  it('has its group taken letter for letter', () => {
    const which = { pattern: '^(?<name>[^=\\n]+)=(?<value>\\d)', where: '^<{name}>$' };
    assert.equal(of(which)('.*=1\n<abc>'), undefined);
    assert.equal(of(which)('.*=1\n<.*>'), '1');
    assert.equal(of(which)('a(=1\n<a(>'), '1');
    fc.assert(
      fc.property(fc.stringMatching(/^[\x20-\x3c\x3e-\x7e]{1,20}$/), (name) => {
        assert.equal(of(which)(`${name}=1\n<${name}>`), '1');
      }),
    );
  });

  it('is looked for four times at most', () => {
    const which = { pattern: '(?<name>\\w)=(?<value>\\d)', where: '{name} is on' };
    assert.equal(of(which)('a=1 b=2 c=3 d=4 d is on'), '4');
    assert.equal(of(which)('a=1 b=2 c=3 d=4 e=5 e is on'), undefined);
  });

  it('is outdated by the frame’s own time', () => {
    const dated = { by: 'now (\\d+[SW]?)', withinMs: 3_600_000 };
    const at = of({ pattern: '(?<time>\\d{12}[SW]?)=(?<value>\\d)', dated });
    assert.equal(at('now 230611140000S 230611130000S=1'), '1');
    assert.equal(at('now 230611140000S 230611125959S=1'), 'outdated');
    assert.equal(at('now 230611140000W 230611140000S=1'), '1');
    assert.equal(at('now 230611140001W 230611140000S=1'), 'outdated');
    assert.equal(at('now 230611140000S 230611125959S=1 230611140000S=2'), '2');
    assert.equal(at('now 230611140000S 991231000000W=1'), '1');
    assert.equal(at('now 230611140000S 230631140000S=1'), 'outdated');
    assert.equal(at('230611140000S=1'), '1');
  });
});

describe('what a protocol says of such values', () => {
  const faultsOf = (message: unknown): string[] =>
    protocolSchema.safeParse({ messages: [message] }).error?.issues.map((issue) => issue.message) ?? [];
  const field = (more: object) => ({ fields: [{ name: 'x', ...more }] });

  for (const [title, message, fault] of [
    [
      'a where without a pattern',
      { pattern: '(?<x>a)', ...field({ where: 'a' }) },
      /'where' is for a field with a pattern/,
    ],
    [
      'an unless without a pattern',
      { pattern: '(?<x>a)', ...field({ unless: 'a' }) },
      /'unless' is for a field/,
    ],
    ['a name that is no group', field({ pattern: '(\\d)', where: '{channel}' }), /no group 'channel'/],
    ['a where that is no pattern', field({ pattern: '(\\d)', where: '(' }), /the pattern/],
    [
      'a time that is no group',
      field({ pattern: '(\\d)', dated: { by: '(\\d)', within: '1d' } }),
      /no group 'time'/,
    ],
    [
      'a field that is not there',
      { ...field({ pattern: '(\\d)' }), descending: { fields: ['x', 'y'], otherwise: 'z' } },
      /no field 'y'/,
    ],
    [
      'a sign of no group',
      { pattern: '(?<x>a)', ...field({ negative: { group: 's', values: ['-'] } }) },
      /no group 's'/,
    ],
  ] as const) {
    it(`is refused if contradictory: ${title}`, () => assert.match(faultsOf(message).join(), fault));
  }

  it('is bounded in what it may cost', () => {
    const patterns = Array.from({ length: 40 }, (_, index) => ({
      name: `x${index}`,
      pattern: '(?<time>\\d{12})(?:a{1,9}|b){9}(?<value>\\d)',
      where: '(?:a{1,9}|b){9}',
    }));
    const framing = { by: 'line', bytesMax: 8192 };
    const issues = protocolSchema.safeParse({ framing, messages: [{ fields: patterns }] }).error?.issues;
    assert.match(issues?.[0]?.message ?? '', /could take \d+ steps/);
  });
});

describe('values that each include the next one', () => {
  it('contradict each other if one does not', () => {
    const protocol = protocolSchema.parse({
      messages: [
        {
          pattern: '^(?<a>\\d+) (?<b>\\d+) (?<c>\\S+)',
          fields: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
          descending: { fields: ['a', 'b', 'c'], otherwise: 'it is another' },
        },
      ],
    });
    const reader = compileMessages(protocol.messages);
    assert.deepEqual(reader.read(text('3 2 1')), { values: { a: 3, b: 2, c: 1 }, quality: {} });
    assert.deepEqual(reader.read(text('3 2 x')), { values: { a: 3, b: 2 }, quality: { c: 'invalid' } });
    assert.deepEqual(reader.read(text('3 4 1')), {
      values: {},
      quality: { a: 'invalid', b: 'invalid', c: 'invalid' },
      inconsistency: 'b is 4, and a, which counts it too, 3: it is another',
    });
  });
});
