import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SerialFieldOptions } from '../../../src/fieldbus/options.ts';
import { compileMessages } from '../../../src/fieldbus/serial/message-reader.ts';

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
const text = (content: string): Uint8Array => Buffer.from(content, 'latin1');

type Field = Partial<SerialFieldOptions> & Pick<SerialFieldOptions, 'from'>;

function readText(content: string, field: Field, pattern = '^(?<x>.*)$'): unknown {
  return readFrame(text(content), field, pattern);
}

function readFrame(frame: Uint8Array, field: Field, pattern?: string): unknown {
  const complete = { name: 'x', type: 'float64', notation: 'decimal', optional: false, ...field } as const;
  const message = { separator: ',', fields: [complete], ...(pattern !== undefined && { pattern }) };
  const telegram = compileMessages([message]).read(frame);
  return telegram?.values['x'] ?? telegram?.quality['x'] ?? 'absent';
}

const group = { by: 'group', group: 'x' } as const;
const bytesAt = (
  at: number,
  order: 'big' | 'little' = 'big',
  length?: number,
): SerialFieldOptions['from'] => ({
  by: 'bytes',
  at,
  order,
  ...(length !== undefined && { length }),
});

describe('fields of text', () => {
  for (const [content, field, expected] of [
    ['+0012.5', {}, 12.5],
    ['  -7 ', { type: 'int16' }, -7],
    ['12.5', { type: 'int16' }, 'invalid'],
    ['-   12.34', {}, -12.34],
    ['+   123.45', {}, 123.45],
    ['-\t0.5', {}, -0.5],
    ['- 12,5', { notation: 'decimal-comma' }, -12.5],
    ['12.34-', {}, -12.34],
    ['  12.34 -  ', {}, -12.34],
    ['12.34+', {}, 12.34],
    ['12,34-', { notation: 'decimal-comma' }, -12.34],
    ['-  7', { type: 'int16' }, -7],
    ['- 9007199254740993', { type: 'int64' }, '-9007199254740993'],
    ['9007199254740993-', { type: 'int64' }, '-9007199254740993'],
    ['- 1234', { scale: 0.01 }, -12.34],
    ['-0.00', {}, 0],
    ['-  12.34-', {}, 'invalid'],
    ['- - 12', {}, 'invalid'],
    ['+-12', {}, 'invalid'],
    ['-', {}, 'invalid'],
    ['1 234.5', {}, 'invalid'],
    ['1.234,5', { notation: 'decimal-comma' }, 'invalid'],
    ["1'234.5", {}, 'invalid'],
    ['12.34 kg', {}, 'invalid'],
    ['1e3', {}, 1000],
    ['', {}, 'invalid'],
    ['----', {}, 'invalid'],
    ['0x10', {}, 'invalid'],
    ['Infinity', {}, 'invalid'],
    ['1e999', {}, 'invalid'],
    ['12,5', { notation: 'decimal-comma' }, 12.5],
    ['12,5', {}, 'invalid'],
    ['FF', { notation: 'hex', type: 'uint16' }, 255],
    ['-FF', { notation: 'hex', type: 'uint16' }, 'invalid'],
    ['9007199254740993', { type: 'uint64' }, '9007199254740993'],
    ['-9007199254740993', { type: 'int64' }, '-9007199254740993'],
    ['2304', { scale: 0.1 }, 230.4],
    ['3.3', { scale: 0.1 }, 0.33],
    ['300.15', { offset: -273.15 }, 27],
    ['12.3', { scale: 0.514444 }, 6.3276612],
    ['4807.038', { notation: 'degrees-minutes' }, 48.1173],
    ['01131.000', { notation: 'degrees-minutes' }, 11.51666667],
    ['4860.000', { notation: 'degrees-minutes' }, 'invalid'],
    ['A', { enum: { A: 'active', V: 'void' } }, 'active'],
    ['X', { enum: { A: 'active', V: 'void' } }, 'invalid'],
    ['toString', { enum: { A: 'active' } }, 'invalid'],
    ['OL', { type: 'string', invalid: ['OL'] }, 'invalid'],
    ['999.9', { invalid: ['999.9'] }, 'invalid'],
    ['ON', { type: 'bool' }, true],
    ['0', { type: 'bool' }, false],
    ['maybe', { type: 'bool' }, 'invalid'],
    [' text ', { type: 'string' }, 'text'],
    ['Z\xe4hler', { type: 'string' }, 'Zähler'],
    ['Z\xc3\xa4hler \xc3\xa0', { type: 'string' }, 'Zähler à'],
    ['\xc3\x96l', { enum: { Öl: 'oil' } }, 'oil'],
    ['\xd6l', { enum: { Öl: 'oil' } }, 'oil'],
  ] as [string, Partial<SerialFieldOptions>, unknown][]) {
    it(`reads '${content}' with ${JSON.stringify(field)}`, () => {
      assert.deepEqual(readText(content, { from: group, ...field }), expected);
    });
  }

  it('has no value for a group without a match, or a pattern that does not match', () => {
    assert.equal(readText('b', { from: group }, '(?<x>a)|b'), 'absent');
    assert.equal(readText('C,21.5,C', { from: { by: 'pattern', pattern: ',H,(\\d+)' } }), 'absent');
    assert.equal(readText('C,21.5,C', { from: { by: 'pattern', pattern: 'C,([\\d.]+),C' } }), 21.5);
  });

  it('takes the sign of a position from another column', () => {
    const field: Field = {
      from: { by: 'column', column: 0 },
      notation: 'degrees-minutes',
      negative: { column: 1, values: ['S', 'W'] },
    };
    assert.equal(readText('3345.5000,S', field), -33.75833333);
    assert.equal(readText('3345.5000,N', field), 33.75833333);
    assert.equal(readText(',', field), 'invalid');
    assert.equal(readText('x', { from: { by: 'column', column: 7 } }), 'invalid');
  });

  it('takes the sign from another group', () => {
    const field: Field = { from: group, negative: { group: 'sign', values: ['-'] } };
    const pattern = '^ST,GS,(?<sign>[ +-]),(?<x>[ .\\d]+)kg$';
    assert.equal(readText('ST,GS,-,  12.34kg', field, pattern), -12.34);
    assert.equal(readText('ST,GS,+,  12.34kg', field, pattern), 12.34);
    assert.equal(readText('ST,GS, ,  12.34kg', field, pattern), 12.34);
  });

  it('marks every value of a frame that is not valid', () => {
    const fields = [
      { name: 'x', type: 'float64', notation: 'decimal', optional: false, from: group },
    ] as const;
    const messages = compileMessages([{ pattern: 'v=(?<x>[\\d.]+)', validWhen: 'ok$', fields }]);
    assert.deepEqual(messages.read(text('v=1.5 ok')), { values: { x: 1.5 }, quality: {} });
    assert.deepEqual(messages.read(text('v=1.5 no')), { values: {}, quality: { x: 'invalid' } });
    assert.equal(messages.read(text('other')), null);
  });
});

describe('fields of bytes', () => {
  for (const [name, field, expected] of [
    ['uint16 big', { type: 'uint16', from: bytesAt(0) }, 0x8182],
    ['uint16 little', { type: 'uint16', from: bytesAt(0, 'little') }, 0x8281],
    ['int16', { type: 'int16', from: bytesAt(0) }, 0x8182 - 0x10000],
    ['one byte', { type: 'uint16', from: bytesAt(1, 'big', 1) }, 0x82],
    ['one signed byte', { type: 'int16', from: bytesAt(1, 'big', 1) }, 0x82 - 0x100],
    ['three bytes', { type: 'uint32', from: bytesAt(0, 'big', 3) }, 0x818203],
    ['int64', { type: 'int64', from: bytesAt(0) }, String(BigInt.asIntN(64, 0x8182030405060708n))],
    ['from the end', { type: 'uint16', from: bytesAt(-2) }, 0x0708],
    ['past the end', { type: 'uint16', from: bytesAt(7) }, 'absent'],
    ['scaled', { type: 'uint16', from: bytesAt(-2), scale: 0.1 }, 180],
    ['marked', { type: 'uint16', from: bytesAt(-2), invalid: ['1800'] }, 'invalid'],
    ['named', { type: 'uint16', from: bytesAt(-2), enum: { 1800: 'on' } }, 'on'],
    ['text', { type: 'string', from: bytesAt(4, 'big', 2) }, '\x05\x06'],
    ['bool', { type: 'bool', from: bytesAt(2) }, true],
  ] as [string, Field, unknown][]) {
    it(`reads ${name}`, () => {
      assert.deepEqual(readFrame(hex('81 82 03 04 05 06 07 08'), field), expected);
    });
  }

  it('reads floats, and no value for a not-a-number', () => {
    assert.equal(readFrame(hex('41 B4 00 00'), { type: 'float32', from: bytesAt(0) }), 22.5);
    assert.equal(readFrame(hex('7F C0 00 00'), { type: 'float32', from: bytesAt(0) }), 'invalid');
  });
});
