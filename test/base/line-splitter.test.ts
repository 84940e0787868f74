import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { createLineSplitter } from '../../src/base/line-splitter.ts';

function memoryBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

describe('lines out of bytes', () => {
  it('are the same for any pieces', () => {
    const texts = fc.array(fc.string({ unit: fc.constantFrom('a', 'é', '\n', '😀'), maxLength: 20 }));
    fc.assert(
      fc.property(texts, fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (parts, steps) => {
        const whole = Buffer.from(parts.join('\n'));
        const lines: string[] = [];
        const split = createLineSplitter(1000, (line, bytes) => {
          assert.equal(bytes, Buffer.byteLength(line));
          lines.push(line);
        });
        for (let from = 0, step = 0; from < whole.length; step += 1) {
          const to = from + steps[step % steps.length]!;
          split(whole.subarray(from, to));
          from = to;
        }
        assert.deepEqual(lines, whole.toString().split('\n').slice(0, -1));
      }),
    );
  });

  it('are bounded, in one piece and in many', () => {
    const lines: string[] = [];
    const of = (): ((bytes: Buffer) => void) => createLineSplitter(8, (line) => lines.push(line));
    of()(Buffer.from('12345678\n'));
    assert.throws(() => of()(Buffer.from('123456789\n')), RangeError);
    const dripped = of();
    for (let count = 0; count < 8; count += 1) dripped(Buffer.from('x'));
    assert.throws(() => dripped(Buffer.from('x')), RangeError);
    assert.deepEqual(lines, ['12345678']);
  });

  it('cost no more than twice their bytes, dripped one by one', () => {
    const bytesMax = 1_000_000;
    const lines: number[] = [];
    const split = createLineSplitter(bytesMax, (_line, bytes) => lines.push(bytes));
    const before = memoryBytes();
    for (let count = 0; count < bytesMax; count += 1) split(Buffer.from('x'));
    const grown = memoryBytes() - before;
    assert.ok(grown < 10_000_000, `${Math.round(grown / 1e6)} MB`);
    split(Buffer.from('\n'));
    assert.deepEqual(lines, [bytesMax]);
  });
});
