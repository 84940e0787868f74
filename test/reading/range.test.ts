import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileRange, describeOutliers, type Range } from '../../src/reading/range.ts';
import { readingsOf, type Value } from '../../src/reading/sample.ts';

describe('a range', () => {
  const cases: [Range, Value, boolean][] = [
    [{ min: 0, max: 1000 }, 230.4, true],
    [{ min: 0, max: 1000 }, 0, true],
    [{ min: 0, max: 1000 }, 1000, true],
    [{ min: 0, max: 1000 }, -0.1, false],
    [{ min: 0, max: 1000 }, 171_797_795.8, false],
    [{ min: -40 }, -40.1, false],
    [{ min: -40 }, 1e300, true],
    [{ max: 85 }, -1e300, true],
    [{ max: 85 }, 85.01, false],
    // A 64-bit integer beyond 2^53 is text in a sample.
    [{ max: 9007199254740993n }, '9007199254740993', true],
    [{ max: 9007199254740993n }, '9007199254740994', false],
    [{ min: -9007199254740993n }, '-9007199254740994', false],
    [{ max: 18446744073709551614n }, '18446744073709551614', true],
    [{ max: 18446744073709551614n }, '18446744073709551615', false],
    [{ max: 0.5 }, '9007199254740993', false],
    [{ min: 0.5 }, '9007199254740993', true],
    [{ max: 9007199254740993n }, 5.5, true],
    [{ min: 9007199254740993n }, 5.5, false],
    // No number: a range has nothing to say.
    [{ max: 1 }, true, true],
    [{ max: 1 }, 'open', true],
  ];
  for (const [range, value, expected] of cases) {
    it(`${String(range.min)} to ${String(range.max)} ${expected ? 'holds' : 'does not hold'} ${value}`, () => {
      assert.equal(compileRange(range)!(value), expected);
    });
  }

  it('compares every 64-bit integer by value', () => {
    const wide = fc.bigInt({ min: -(1n << 63n), max: (1n << 64n) - 1n });
    fc.assert(
      fc.property(wide, wide, wide, (min, max, value) => {
        assert.equal(compileRange({ min, max })!(String(value)), value >= min && value <= max);
      }),
    );
  });

  it('without ends is undefined', () => assert.equal(compileRange({}), undefined));

  it('describes the first value outside, and how many more there are', () => {
    const voltage = { name: 'voltage_l1', unit: 'V', min: 0, max: 1000 };
    assert.equal(
      describeOutliers([{ point: voltage, value: 171_797_795.8 }]),
      'voltage_l1 is 171797795.8 V, not 0 to 1000 V: implausible; compare profile, scale and wiring',
    );
    const level = { name: 'level', min: 0 };
    assert.match(
      describeOutliers([
        { point: level, value: -1 },
        { point: voltage, value: -2 },
      ]),
      /^level is -1, not at least 0 \(and 1 more\)/,
    );
  });
});

it('a value that is in values and quality is one reading', () => {
  const sample = { device: 'd', wallMs: 0, monotonicMs: 0, values: { a: 1, b: 2 } };
  assert.equal(readingsOf(sample), 2);
  assert.equal(readingsOf({ ...sample, quality: { b: 'implausible', c: 'timeout' } }), 3);
});
