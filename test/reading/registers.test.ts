import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Order, RegisterType } from '../../src/reading/point.ts';
import { bitAt, compileDecoder, type RegisterFormat, registerCount } from '../../src/reading/registers.ts';
import type { Value } from '../../src/reading/sample.ts';
import { compileScale, timesPowerOfTen } from '../../src/reading/scale.ts';
import { bytesOf, inOrder } from '../support/register-bytes.ts';

const orders: Order[] = ['big', 'little'];

function decode(
  format: Partial<RegisterFormat> & { type: RegisterType },
  bytes: ArrayLike<number>,
): Value | undefined {
  const whole: RegisterFormat = { byteOrder: 'big', wordOrder: 'big', ...format };
  return compileDecoder(whole)(Uint8Array.from([0xee, ...Array.from(bytes), 0xee]), 1);
}

type Sampled = [RegisterType, fc.Arbitrary<number | bigint>, number, (view: DataView, value: never) => void];
const numbers: Sampled[] = [
  ['int16', fc.integer({ min: -32768, max: 32767 }), 2, (view, value) => view.setInt16(0, value)],
  ['uint16', fc.integer({ min: 0, max: 65535 }), 2, (view, value) => view.setUint16(0, value)],
  ['int32', fc.integer(), 4, (view, value) => view.setInt32(0, value)],
  ['uint32', fc.integer({ min: 0, max: 0xffffffff }), 4, (view, value) => view.setUint32(0, value)],
  [
    'int64',
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    8,
    (view, value) => view.setBigInt64(0, value),
  ],
  ['uint64', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), 8, (view, value) => view.setBigUint64(0, value)],
  [
    'float32',
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    4,
    (view, value) => view.setFloat32(0, value),
  ],
  [
    'float64',
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    8,
    (view, value) => view.setFloat64(0, value),
  ],
];

function expected(value: number | bigint): Value {
  if (typeof value === 'number') return value === 0 ? 0 : value;
  const isSafe = value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
  return isSafe ? Number(value) : value.toString();
}

describe('numbers in registers', () => {
  for (const [type, values, size, write] of numbers) {
    for (const byteOrder of orders) {
      for (const wordOrder of orders) {
        it(`${type}, bytes ${byteOrder}, words ${wordOrder}`, () => {
          fc.assert(
            fc.property(values, (value) => {
              const bytes = inOrder(
                bytesOf(size, (view) => write(view, value as never)),
                byteOrder,
                wordOrder,
              );
              const decoded = decode({ type, byteOrder, wordOrder }, bytes);
              // A single comes as the shortest decimal that names it.
              const exact = type === 'float32' ? Math.fround(Number(decoded)) : decoded === 0 ? 0 : decoded;
              assert.equal(exact, expected(value));
            }),
            { numRuns: 200 },
          );
        });
      }
    }
  }

  it('gives a single-precision number as the decimal that was meant', () => {
    for (const meant of [230.4, 0.1, 49.98, 1e-3, 16_777_216, 3.4028235e38, -273.15, 0]) {
      const bytes = bytesOf(4, (view) => view.setFloat32(0, meant));
      assert.equal(decode({ type: 'float32' }, bytes), meant);
    }
  });

  it('gives 64 bits beyond 2^53 as decimal text, and up to it as a number', () => {
    const at = (value: bigint): Value | undefined =>
      decode(
        { type: 'uint64' },
        bytesOf(8, (view) => view.setBigUint64(0, value)),
      );
    assert.equal(at(2n ** 53n - 1n), 9007199254740991);
    assert.equal(at(2n ** 53n), '9007199254740992');
    assert.equal(at(2n ** 64n - 1n), '18446744073709551615');
    assert.equal(
      decode(
        { type: 'int64' },
        bytesOf(8, (view) => view.setBigInt64(0, -(2n ** 53n) - 1n)),
      ),
      '-9007199254740993',
    );
  });

  it('has no value where a float is NaN or infinite', () => {
    for (const bytes of [
      [0x7f, 0xc0, 0, 0],
      [0x7f, 0x80, 0, 0],
      [0xff, 0x80, 0, 0],
      [0xff, 0xff, 0xff, 0xff],
    ]) {
      assert.equal(decode({ type: 'float32' }, bytes), undefined);
    }
    assert.equal(decode({ type: 'float64' }, [0x7f, 0xf8, 0, 0, 0, 0, 0, 0]), undefined);
    const large = bytesOf(8, (view) => view.setFloat64(0, 1e308));
    assert.equal(decode({ type: 'float64', scale: 1000 }, large), undefined);
  });

  it('reads BCD, and has no value for an invalid digit', () => {
    assert.equal(decode({ type: 'bcd16' }, [0x12, 0x34]), 1234);
    assert.equal(decode({ type: 'bcd16' }, [0x00, 0x00]), 0);
    assert.equal(decode({ type: 'bcd16' }, [0x12, 0x3a]), undefined);
    assert.equal(decode({ type: 'bcd32', wordOrder: 'little' }, [0x56, 0x78, 0x12, 0x34]), 12345678);
    assert.equal(decode({ type: 'bcd32', scale: 0.01 }, [0x00, 0x12, 0x34, 0x56]), 1234.56);
    assert.equal(decode({ type: 'bcd32' }, [0xff, 0xff, 0xff, 0xff]), undefined);
  });
});

describe('rare number formats', () => {
  it('sign and magnitude, for each width', () => {
    const magnitude = { sign: 'magnitude' } as const;
    assert.equal(decode({ type: 'int16', ...magnitude }, [0x81, 0x23]), -291);
    assert.equal(decode({ type: 'int16', ...magnitude }, [0x01, 0x23]), 291);
    assert.equal(decode({ type: 'int16', ...magnitude }, [0x80, 0x00]), 0);
    assert.equal(decode({ type: 'int16', scale: 0.1, ...magnitude }, [0x81, 0x23]), -29.1);
    assert.equal(decode({ type: 'int32', ...magnitude }, [0x80, 0, 0, 5]), -5);
    assert.equal(decode({ type: 'int32', wordOrder: 'little', ...magnitude }, [0, 5, 0x80, 0]), -5);
    assert.equal(decode({ type: 'int64', ...magnitude }, [0x80, 0, 0, 0, 0, 0, 1, 0]), -256);
    const wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert.equal(decode({ type: 'int64', ...magnitude }, wide), String(-(2n ** 63n - 1n)));
    assert.equal(decode({ type: 'int16', ...magnitude }, [0x7f, 0xff]), 32_767);
    assert.equal(decode({ type: 'int16', invalid: ['int-min'], ...magnitude }, [0x80, 0]), undefined);
  });

  it('one byte of a register, of either half and byte order', () => {
    const read = (
      type: 'int16' | 'uint16',
      half: 'high' | 'low',
      byteOrder: 'big' | 'little',
    ): ReturnType<typeof decode> => decode({ type, half, byteOrder }, [0xfe, 0x05]);
    assert.equal(read('uint16', 'high', 'big'), 254);
    assert.equal(read('uint16', 'low', 'big'), 5);
    assert.equal(read('int16', 'high', 'big'), -2);
    assert.equal(read('int16', 'low', 'little'), -2);
    assert.equal(read('uint16', 'high', 'little'), 5);
    assert.equal(decode({ type: 'int16', half: 'low', invalid: ['int-min'] }, [1, 0x80]), undefined);
    assert.equal(decode({ type: 'uint16', half: 'low', invalid: ['all-ones'] }, [1, 0xff]), undefined);
    assert.equal(decode({ type: 'int16', half: 'high', sign: 'magnitude' }, [0x83, 0]), -3);
  });

  it('48 bits, in every order', () => {
    const value = -123_456_789_012;
    const bytes = Buffer.alloc(6);
    bytes.writeIntBE(value, 0, 6);
    const words = [bytes.subarray(0, 2), bytes.subarray(2, 4), bytes.subarray(4, 6)];
    const little = Buffer.concat(words.toReversed());
    const format = { type: 'int64', length: 3 } as const;
    assert.equal(decode(format, [...bytes]), value);
    assert.equal(decode({ ...format, wordOrder: 'little' }, [...little]), value);
    assert.equal(decode({ ...format, byteOrder: 'little' }, [...Buffer.from(bytes).swap16()]), value);
    const both = { ...format, byteOrder: 'little', wordOrder: 'little' } as const;
    assert.equal(decode(both, [...Buffer.from(little).swap16()]), value);
    assert.equal(decode({ type: 'uint64', length: 3 }, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 2 ** 48 - 1);
    assert.equal(
      decode({ type: 'uint64', length: 3, invalid: ['all-ones'] }, [255, 255, 255, 255, 255, 255]),
      undefined,
    );
    assert.equal(registerCount({ type: 'int64', length: 3 }), 3);
    assert.equal(registerCount({ type: 'uint64' }), 4);
  });
});

describe('scale and offset', () => {
  it('leave no binary noise', () => {
    assert.equal(compileScale(0.1)(2304), 230.4);
    assert.equal(compileScale(0.1)(3), 0.3);
    assert.equal(compileScale(0.001)(1005), 1.005);
    assert.equal(compileScale(0.1, -40)(653), 25.3);
    assert.equal(compileScale(0.25)(3), 0.75);
    assert.equal(compileScale(1e-7)(3), 3e-7);
    assert.equal(compileScale(1000)(1.5), 1500);
    assert.equal(compileScale(0.01)(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER * 0.01);
  });

  it('give what decimal arithmetic gives, for every scale of up to six decimals', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 6 }), (raw, decimals) => {
        const digits = String(Math.abs(raw)).padStart(decimals + 1, '0');
        const text = `${digits.slice(0, digits.length - decimals)}.${digits.slice(digits.length - decimals)}`;
        const scale = Number(`1e-${decimals}`);
        assert.equal(compileScale(scale)(raw) + 0, raw < 0 ? -Number(text) : Number(text));
      }),
    );
  });

  it('by a power of ten from another register', () => {
    assert.equal(timesPowerOfTen(2304, -1), 230.4);
    assert.equal(timesPowerOfTen(2304, 0), 2304);
    assert.equal(timesPowerOfTen(23, 2), 2300);
    assert.equal(timesPowerOfTen(0.3, -1), 0.03);
    assert.equal(timesPowerOfTen(-5, -10), -5e-10);
  });
});

describe('invalid markers', () => {
  const cases: [string, Partial<RegisterFormat> & { type: RegisterType }, number[], boolean][] = [
    ['0x8000 in int16', { type: 'int16', invalid: [0x8000] }, [0x80, 0x00], true],
    ['-32768 in int16', { type: 'int16', invalid: [-32768] }, [0x80, 0x00], true],
    ['int-min in int16', { type: 'int16', invalid: ['int-min'] }, [0x80, 0x00], true],
    ['int-max in int32', { type: 'int32', invalid: ['int-max'] }, [0x7f, 0xff, 0xff, 0xff], true],
    ['all-ones in uint16', { type: 'uint16', invalid: ['all-ones'] }, [0xff, 0xff], true],
    ['all-ones in uint64', { type: 'uint64', invalid: ['all-ones'] }, Array(8).fill(0xff), true],
    ['int-max in int64', { type: 'int64', invalid: ['int-max'] }, [0x7f, ...Array(7).fill(0xff)], true],
    ['a bigint in uint64', { type: 'uint64', invalid: [2n ** 63n] }, [0x80, 0, 0, 0, 0, 0, 0, 0], true],
    ['a bit pattern in float32', { type: 'float32', invalid: [0x7f7fffff] }, [0x7f, 0x7f, 0xff, 0xff], true],
    ['a number in float32', { type: 'float32', invalid: [-999] }, [0xc4, 0x79, 0xc0, 0x00], true],
    [
      'a bit pattern in float64',
      { type: 'float64', invalid: ['int-max'] },
      [0x7f, ...Array(7).fill(0xff)],
      true,
    ],
    [
      'all-ones in a string',
      { type: 'string', length: 2, invalid: ['all-ones'] },
      [255, 255, 255, 255],
      true,
    ],
    ['a marker that is too wide', { type: 'int16', invalid: [0x18000] }, [0x80, 0x00], false],
    ['another value', { type: 'int16', invalid: [0x8000, 'nan'] }, [0x80, 0x01], false],
    ['-1 unmarked', { type: 'int16' }, [0xff, 0xff], false],
  ];
  for (const [name, format, bytes, isInvalid] of cases) {
    it(`${name}: ${isInvalid ? 'invalid' : 'a value'}`, () => {
      assert.equal(decode(format, bytes) === undefined, isInvalid);
    });
  }

  it('are looked for in the raw registers, in any order', () => {
    const format = { type: 'int32', invalid: ['int-min'], wordOrder: 'little', byteOrder: 'little' } as const;
    assert.equal(decode(format, [0x00, 0x00, 0x00, 0x80]), undefined);
  });
});

describe('what is not a number', () => {
  it('a bool is a bit, or whether any is set', () => {
    assert.equal(decode({ type: 'bool', bit: 0 }, [0x00, 0x01]), true);
    assert.equal(decode({ type: 'bool', bit: 15 }, [0x80, 0x00]), true);
    assert.equal(decode({ type: 'bool', bit: 14 }, [0x80, 0x00]), false);
    assert.equal(decode({ type: 'bool', bit: 8, byteOrder: 'little' }, [0x00, 0x01]), true);
    assert.equal(decode({ type: 'bool' }, [0x01, 0x00]), true);
    assert.equal(decode({ type: 'bool' }, [0x00, 0x00]), false);
  });

  it('a bit field names the bits that are set, lowest first', () => {
    const bits = { 0: 'ground_fault', 9: 'over_temperature', 15: 'locked' };
    assert.equal(decode({ type: 'bits', bits }, [0x82, 0x01]), 'ground_fault,over_temperature,locked');
    assert.equal(decode({ type: 'bits', bits }, [0x00, 0x02]), '');
    assert.equal(decode({ type: 'bits', bits: { 31: 'top' }, length: 2 }, [0x80, 0, 0, 0]), 'top');
  });

  it('an enum names its number; one without a name stays its text', () => {
    const format = { type: 'uint16', enum: { 1: 'off', 4: 'producing' } } as const;
    assert.equal(decode(format, [0, 4]), 'producing');
    assert.equal(decode(format, [0, 5]), '5');
    assert.equal(decode({ type: 'int16', enum: { [-1]: 'none' } }, [255, 255]), 'none');
  });

  it('a string ends at NUL or with its padding, in either byte order', () => {
    const text = [...Buffer.from('B23 112-100\0xyz')].slice(0, 14);
    assert.equal(decode({ type: 'string', length: 7 }, text), 'B23 112-100');
    assert.equal(decode({ type: 'string', length: 3 }, [...Buffer.from('SDM   ')]), 'SDM');
    const swapped = [...Buffer.from('EM24').swap16()];
    assert.equal(decode({ type: 'string', length: 2, byteOrder: 'little' }, swapped), 'EM24');
    assert.equal(
      decode({ type: 'string', length: 2, wordOrder: 'little' }, [...Buffer.from('EM24')]),
      'EM24',
    );
    assert.equal(decode({ type: 'string', length: 2 }, [0, 0, 0, 0]), '');
  });

  it('a string is UTF-8 where it can be, else Latin-1', () => {
    const read = (bytes: Buffer): ReturnType<typeof decode> =>
      decode({ type: 'string', length: bytes.length / 2 }, [...bytes]);
    assert.equal(read(Buffer.from('Zähler \0')), 'Zähler');
    assert.equal(read(Buffer.from('Zähler', 'latin1')), 'Zähler');
    assert.equal(read(Buffer.from('计量')), '计量');
    // The field is too short for the last character.
    assert.equal(read(Buffer.from('Gerät ä').subarray(0, 8)), 'Gerät');
  });

  it('a string in the wrong byte order that would be empty has no value', () => {
    assert.equal(decode({ type: 'string', length: 2 }, [0, 0x41, 0, 0]), undefined);
    assert.equal(decode({ type: 'string', length: 2, byteOrder: 'little' }, [0, 0x41, 0, 0]), 'A');
    // An empty one, with what the device had there before.
    assert.equal(decode({ type: 'string', length: 3 }, [0, 0x45, 0x54, 0x45, 0x52, 0]), '');
  });

  it('bits come least significant first', () => {
    const bytes = Uint8Array.of(0xcd, 0x6b, 0x05); // the example of Modbus V1.1b3 §6.1
    const on = Array.from({ length: 19 }, (_, index) => (bitAt(bytes, index) ? 1 : 0)).join('');
    assert.equal(on, '1011001111010110101');
  });

  it('counts its registers', () => {
    assert.equal(registerCount({ type: 'float64' }), 4);
    assert.equal(registerCount({ type: 'string', length: 9 }), 9);
    assert.equal(registerCount({ type: 'bits' }), 1);
  });
});
