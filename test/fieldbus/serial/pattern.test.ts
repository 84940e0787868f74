import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MerestoneError } from '../../../src/base/error.ts';
import { compilePattern } from '../../../src/fieldbus/serial/pattern.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** What both engines find: every group's text, or null. */
function ours(source: string, text: string): (string | undefined)[] | null {
  const pattern = compilePattern(source);
  const match = pattern.match(bytes(text));
  return match === null ? null : pattern.groups.map((_, index) => match.group(index + 1));
}

function isTooLong(source: string): boolean {
  try {
    compilePattern(source);
    return false;
  } catch (error) {
    return error instanceof MerestoneError && error.message.endsWith('is too long');
  }
}

function theirs(source: string, text: string): (string | undefined)[] | null {
  const match = new RegExp(source, 'm').exec(text);
  return match === null ? null : [...match].slice(1);
}

/** Patterns over a small alphabet; groups stand outside of repeats, repeats hold no empty part. */
const solid = fc.letrec<{ atom: string; repeated: string; many: string }>((tie) => ({
  atom: fc.oneof(
    { maxDepth: 2 },
    fc.constantFrom(
      'a',
      'b',
      '1',
      '.',
      '\\d',
      '\\w',
      '\\s',
      '\\S',
      '[ab]',
      '[^b1]',
      '[0-9a]',
      '\\.',
      '-',
      '[^]',
      '\\r',
      '\\n',
      '\\xe9',
      '[\\x80-\\xff]',
    ),
    fc.tuple(tie('repeated'), tie('repeated')).map(([one, other]) => `(?:${one}|${other})`),
    fc.tuple(tie('atom'), tie('repeated')).map(([one, other]) => `(?:${one}${other})`),
  ),
  repeated: fc
    .tuple(tie('atom'), fc.constantFrom('', '+', '{2}', '{1,3}', '+?', '{2,}'))
    .map((parts) => parts.join('')),
  many: fc
    .tuple(tie('atom'), fc.constantFrom('', '*', '?', '+', '*?', '??', '{0,2}'))
    .map((parts) => parts.join('')),
}));
const part = fc.oneof(
  solid.many,
  solid.many.map((inner) => `(${inner})`),
  fc.tuple(solid.many, solid.many).map(([one, other]) => `(${one}|${other})`),
  fc.constantFrom('^', '$'),
);
const sources = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
const texts = fc
  .array(fc.constantFrom('a', 'b', '1', '.', '-', ' ', '\n', '\r', '\r\n', '\xe9', '\xa0'), { maxLength: 12 })
  .map((all) => all.join(''));

describe('pattern', () => {
  it('finds what JavaScript finds', () => {
    fc.assert(
      fc.property(sources, texts, (source, text) => {
        fc.pre(!isTooLong(source));
        assert.deepEqual(ours(source, text), theirs(source, text), `/${source}/ on ${JSON.stringify(text)}`);
      }),
      { numRuns: 2000 },
    );
  });

  for (const [source, text] of [
    ['^(?<weight>[+-]\\d+\\.\\d+) kg', '+0012.5 kg'],
    ['^\\$..RMC,[^,]*,A,', '$GPRMC,123519,A,4807.038,N'],
    ['1-0:1\\.8\\.1\\((\\d+\\.\\d+)\\*kWh\\)', '/X\r\n1-0:1.8.1(000123.456*kWh)\r\n!'],
    ['^b', 'a\r\nb'],
    ['^(b)$', 'a\rb\rc'],
    ['(a)$\r\n^(b)$', 'a\r\nb\r\n'],
    ['(a.)', 'a\rab'],
    ['(a[^]b)', 'a\rb'],
    ['(\\s)b', 'a\xa0b'],
    ['x{2}y{,3}', 'xxy{,3}'],
    ['[\\]\\-x]+', 'a]-x'],
    ['\\x02(.*)\\x03', '\x02data\x03'],
    ['(a)|(b)', 'b'],
    ['(\\xe9+)', 'caf\xe9'],
  ] as const) {
    it(`reads ${source} as JavaScript does`, () => {
      assert.deepEqual(ours(source, text), theirs(source, text));
    });
  }

  it('gives groups by name', () => {
    const match = compilePattern('(?<sign>[+-])?(?<digits>\\d+)').match(bytes('42'));
    assert.equal(match?.group('digits'), '42');
    assert.equal(match?.group('sign'), undefined);
    assert.equal(match?.group('none'), undefined);
  });

  for (const [source, reason] of [
    ['(a', /\( without its \)/],
    ['a)', /\) without its \(/],
    ['[a', /\[ without its \]/],
    ['*', /nothing before \*/],
    ['(a*)*', /can be empty/],
    ['(?:|a)+', /can be empty/],
    ['(?=a)', /looks ahead/],
    ['(?<=a)', /looks ahead or behind/],
    ['(a)\\1', /\\1, which is not known/],
    ['\\bword', /\\b, which is not known/],
    ['(?<n>a)+', /repeats the group 'n'/],
    ['(?<n>a)(?<n>b)', /names the group 'n' twice/],
    ['a{3,2}', /wrong way round/],
    ['a{1000}', /more than 256 times/],
    ['(?:a{200}){200}', /too long/],
    ['[z-a]', /runs backwards/],
    ['€', /no single byte/],
    ['a\\', /ends in a single/],
  ] as const) {
    it(`refuses ${source}`, () => {
      assert.throws(
        () => compilePattern(source),
        (error) =>
          error instanceof MerestoneError && error.code === 'ProfileInvalid' && reason.test(error.message),
      );
    });
  }

  it('takes linear time where backtracking would take years', () => {
    const frame = bytes('a'.repeat(4096));
    for (const source of ['^(?:a+)+$', '^(?:a|a)+b', '(?:a*a*a*a*a*a*)b', '^(?:a+a+)+b$']) {
      const begun = process.cpuUsage();
      compilePattern(source).match(frame);
      const { user } = process.cpuUsage(begun);
      assert.ok(user < 2_000_000, `${source} took ${user} µs`);
    }
  });

  it('refuses or compiles whatever text it is given', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from('ab1(){}[]|*+?.^$\\-,:<>n=!d')), maxLength: 24 }),
        (source) => {
          try {
            compilePattern(source).match(bytes('ab1(){}'));
          } catch (error) {
            assert.ok(error instanceof MerestoneError, String(error));
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});
