import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RegisterImage } from '../../src/simulator/register-image.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const request = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('register image', () => {
  const image = new RegisterImage();
  image.define('holding', 10, 4);
  image.define('input', 0, 200);
  image.define('coil', 19, 19);
  image.define('discrete', 0, 2001);
  image.setInt16('holding', 10, -2);
  image.setFloat32('holding', 11, 230.5);
  image.setRegisters('input', 198, Buffer.from('cafebabe', 'hex'));

  it('reads registers as they were written', () => {
    assert.equal(hex(image.answer(request('03 000a 0004'))), '0308fffe436680000000');
    assert.equal(hex(image.answer(request('04 00c6 0002'))), '0404cafebabe');
  });

  it('packs bits as in the example of Modbus V1.1b3 §6.1', () => {
    for (const coil of [20, 22, 23, 26, 27, 28, 29, 31, 33, 34, 36, 38]) image.setBit('coil', coil - 1, true);
    assert.equal(hex(image.answer(request('01 0013 0013'))), '0103cd6b05');
  });

  for (const [what, pdu, answer] of [
    ['an address that is not defined', '03 0009 0001', '8302'],
    ['a run that leaves the defined addresses', '03 000c 0003', '8302'],
    ['no register at all', '03 000a 0000', '8303'],
    ['more than 125 registers', '04 0000 007e', '8403'],
    ['more than 2000 bits', '02 0000 07d1', '8203'],
    ['a function that writes', '06 000a 0001', '8601'],
    ['a request of the wrong length', '03 000a 00', '8301'],
  ] as const) {
    it(`answers ${what} with an exception`, () => assert.equal(hex(image.answer(request(pdu))), answer));
  }

  it('answers the longest requests that the protocol allows', () => {
    assert.equal(image.answer(request('04 0000 007d')).length, 252);
    assert.equal(image.answer(request('02 0000 07d0')).length, 252);
  });
});
