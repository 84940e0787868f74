import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  counts,
  instant,
  list,
  namedCounts,
  number,
  object,
  oneOf,
  optional,
  orNull,
  string,
  text,
} from '../../src/base/reader.ts';

describe('a reader', () => {
  it('returns its input if that is of its type', () => {
    assert.equal(number(1.5), 1.5);
    assert.equal(string('a'), 'a');
    assert.equal(oneOf(['a', 'b'])('b'), 'b');
    assert.equal(orNull(number)(3), 3);
    assert.deepEqual(list(number)([1, 2]), [1, 2]);
    assert.deepEqual(counts({ 'exception:2': 4 }), { 'exception:2': 4 });
  });

  it('returns a harmless default for anything else', () => {
    for (const wrong of [undefined, null, Number.NaN, -1, Infinity, 2 ** 60, '7', {}, []]) {
      assert.equal(number(wrong), 0, JSON.stringify(wrong));
    }
    assert.equal(instant(8.64e15 + 1), 0);
    assert.equal(string(7), '');
    assert.equal(oneOf(['a', 'b'])('c'), 'a');
    assert.equal(orNull(number)(undefined), null);
    assert.deepEqual(list(number)({ length: 3 }), []);
    assert.deepEqual(counts([1]), {});
  });

  it('bounds texts and lists, and cleans texts', () => {
    assert.equal(text(3)('abcd'), 'abc…');
    assert.equal(text()('a\u001b[2J\u0085\u202eb'), 'a\ufffd[2J\ufffd\ufffdb');
    assert.equal(list(number, 2)([1, 2, 3]).length, 2);
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`n${index}`, index]));
    assert.equal(Object.keys(namedCounts({ ...many, 'bad name': 1 })).length, 32);
    assert.deepEqual(namedCounts({ 'bad\nname': 1, good: 2 }), { good: 2 });
  });
});

describe('an object of readers', () => {
  const read = object({
    name: string,
    size: number,
    note: optional(orNull(string)),
    inner: object({ a: number }),
  });

  it('is rebuilt from its own known members', () => {
    const told = JSON.parse(
      '{"name":"x","size":1,"__proto__":{"polluted":1},"extra":true,"inner":{"a":2,"b":3}}',
    );
    assert.deepEqual(read(told), { name: 'x', size: 1, inner: { a: 2 } });
    assert.deepEqual(read(Object.create({ name: 'inherited' })), { name: '', size: 0, inner: { a: 0 } });
  });

  it('has an optional member only if the input has it', () => {
    assert.equal('note' in read({}), false);
    assert.equal(read({ note: 'x' }).note, 'x');
  });

  it('has the same members for any input, and never throws', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const { note: _, ...members } = read(value);
        assert.deepEqual(Object.keys(members), ['name', 'size', 'inner']);
        assert.equal(typeof members.size, 'number');
        assert.deepEqual(read(read(value)), read(value));
      }),
    );
  });
});
