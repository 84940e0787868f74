import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc16 } from '../../../src/fieldbus/modbus/crc.ts';
import { encodeMbap, takeMbapFrame } from '../../../src/fieldbus/modbus/mbap.ts';
import { dataBytes, encodeRequest, parseAnswer, type Request } from '../../../src/fieldbus/modbus/pdu.ts';
import {
  encodeRtu,
  findAnswer,
  findStrayFrames,
  nameFault,
  type Question,
} from '../../../src/fieldbus/modbus/rtu-frame.ts';
import { bitwiseCrc, mbapFrame, mutate, rtuFrame } from '../../support/modbus-frames.ts';
import { randomFrom } from '../../support/random.ts';

const mutations = 1_000_000;

function question(unitId: number, request: Request): Question {
  return { unitId, request, adu: encodeRtu(unitId, request) };
}

const read = (functionCode: 1 | 2 | 3 | 4, address: number, quantity: number): Request => ({
  functionCode,
  address,
  quantity,
});

describe('requests', () => {
  it('have the layout of the specification', () => {
    // §6.3's example, and a frame with a CRC that was checked by hand.
    assert.deepEqual([...encodeRequest(read(3, 0x006b, 3))], [0x03, 0x00, 0x6b, 0x00, 0x03]);
    assert.equal(Buffer.from(encodeRtu(1, read(4, 0, 80))).toString('hex'), '010400000050f036');
    assert.equal(
      Buffer.from(encodeMbap(0x1501, 0xff, read(4, 0, 1))).toString('hex'),
      '150100000006ff0400000001',
    );
    assert.deepEqual([...encodeRequest({ functionCode: 17 })], [0x11]);
    assert.deepEqual([...encodeRequest({ functionCode: 43, readCode: 1, objectId: 0 })], [0x2b, 0x0e, 1, 0]);
  });

  it('have the CRC of the bit-by-bit definition', () => {
    const random = randomFrom(1);
    for (let run = 0; run < 1000; run += 1) {
      const bytes = Uint8Array.from({ length: run % 256 }, () => random() * 256);
      assert.equal(crc16(bytes), bitwiseCrc(bytes));
    }
  });
});

describe('an RTU answer', () => {
  const asked = question(1, read(3, 10, 2));
  const answer = rtuFrame(1, 3, 4, 0x11, 0x22, 0x33, 0x44);
  const data = [0x11, 0x22, 0x33, 0x44];
  const find = (...parts: Uint8Array[]): ReturnType<typeof findAnswer> =>
    findAnswer(Buffer.concat(parts), asked);
  const dataIn = (...parts: Uint8Array[]): number[] | string => {
    const found = find(...parts);
    if (found.kind !== 'answer' || found.answer.kind !== 'data') return found.kind;
    return [...found.answer.data];
  };

  it('is taken if unit, function, length and CRC are right', () => {
    assert.deepEqual(dataIn(answer), data);
    const exception = find(rtuFrame(1, 0x83, 2));
    assert.deepEqual(exception.kind === 'answer' && exception.answer, {
      kind: 'exception',
      exceptionCode: 2,
    });
  });

  it('is waited for byte by byte', () => {
    for (let length = 2; length < answer.length; length += 1) {
      assert.deepEqual(find(answer.subarray(0, length)), {
        kind: 'incomplete',
        missing: answer.length - length,
      });
    }
  });

  it('is found behind the echo of the question, noise, and other frames', () => {
    const noise = Uint8Array.of(0x00, 0xff, 0x01);
    const other = rtuFrame(2, 3, 4, 9, 9, 9, 9);
    assert.deepEqual(dataIn(asked.adu, answer), data);
    assert.deepEqual(dataIn(noise, answer), data);
    assert.deepEqual(dataIn(noise, asked.adu, noise, answer), data);
    assert.deepEqual(dataIn(other, answer, noise), data);
    assert.deepEqual(dataIn(rtuFrame(1, 3, 6, 1, 2, 3, 4, 5, 6), answer), data);
  });

  it('is never the echo itself, even if that looks like an answer', () => {
    const bits = question(1, read(1, 0x0300, 17));
    assert.equal(findAnswer(bits.adu, bits).kind, 'incomplete');
  });

  it('that is missing or damaged is named as a fault', () => {
    const name = (...parts: Uint8Array[]): string => nameFault(Buffer.concat(parts), asked);
    assert.equal(name(), 'timeout');
    assert.equal(name(asked.adu), 'timeout');
    assert.equal(name(Uint8Array.of(...answer.subarray(0, 8), answer[8]! ^ 1)), 'crc');
    assert.equal(name(rtuFrame(2, 3, 4, 1, 2, 3, 4)), 'wrong-unit');
    assert.equal(name(rtuFrame(1, 4, 4, 1, 2, 3, 4)), 'wrong-function');
    assert.equal(name(rtuFrame(1, 3, 2, 1, 2)), 'wrong-length');
    assert.equal(name(answer.subarray(0, 6)), 'short-frame');
    assert.equal(name(asked.adu, answer.subarray(0, 6)), 'short-frame');
    assert.equal(name(Uint8Array.of(0xfe, 0x00)), 'noise');
  });

  it('of a device identification is as long as its objects say', () => {
    const request: Request = { functionCode: 43, readCode: 1, objectId: 0 };
    const asked = question(5, request);
    const pdu = [43, 14, 1, 1, 0, 0, 2, 0, 3, 0x41, 0x42, 0x43, 1, 2, 0x31, 0x32];
    const whole = rtuFrame(5, ...pdu);
    for (let length = 1; length < whole.length; length += 1) {
      assert.equal(findAnswer(whole.subarray(0, length), asked).kind, 'incomplete');
    }
    const found = findAnswer(whole, asked);
    assert.deepEqual(found.kind === 'answer' && found.answer, {
      kind: 'data',
      data: Uint8Array.from(pdu.slice(1)),
    });
  });

  it(`cannot be made out of ${mutations / 2} mutated ones unless header and CRC are right`, () => {
    const random = randomFrom(20_261_122);
    let damaged = 0;
    let accepted = 0;
    for (let run = 0; run < mutations / 2; run += 1) {
      const functionCode = (1 + (run & 3)) as 1 | 2 | 3 | 4;
      const quantity = 1 + Math.floor(random() * 20);
      const asked = question(1 + (run % 247), read(functionCode, Math.floor(random() * 1000), quantity));
      const bytes = dataBytes(functionCode, quantity);
      const original = rtuFrame(
        asked.unitId,
        functionCode,
        bytes,
        ...Array.from({ length: bytes }, () => Math.floor(random() * 256)),
      );
      const received = mutate(original, random);
      const found = findAnswer(received, asked);
      if (found.kind !== 'answer') {
        damaged += 1;
        continue;
      }
      accepted += 1;
      const frame = received.subarray(found.start, found.end);
      assert.equal(frame[0], asked.unitId);
      assert.equal(bitwiseCrc(frame.subarray(0, -2)), frame.at(-2)! | (frame.at(-1)! << 8));
      if (found.answer.kind === 'exception') assert.equal(frame[1], functionCode | 0x80);
      else assert.deepEqual([...frame.subarray(1, 3)], [functionCode, bytes]);
    }
    assert.ok(
      damaged > mutations / 4 && accepted > mutations / 100,
      `${damaged} refused, ${accepted} accepted`,
    );
  });
});

describe('a Modbus TCP answer', () => {
  it('is cut out of the stream for any pieces', () => {
    const stream = Buffer.concat([mbapFrame(1, 7, 3, 2, 0xaa, 0xbb), mbapFrame(2, 8, 0x84, 2)]);
    for (let length = 0; length < 11; length += 1) {
      assert.equal(takeMbapFrame(stream.subarray(0, length), 0).kind, 'incomplete');
    }
    const first = takeMbapFrame(stream, 0);
    assert.ok(first.kind === 'frame' && first.transactionId === 1 && first.unitId === 7 && first.next === 11);
    const second = takeMbapFrame(stream, first.next);
    assert.ok(second.kind === 'frame' && second.transactionId === 2 && second.pdu.length === 2);
  });

  it('with another protocol id or an impossible length ends the connection', () => {
    assert.equal(takeMbapFrame(Uint8Array.of(0, 1, 0, 1), 0).kind, 'damaged');
    assert.equal(takeMbapFrame(Uint8Array.of(0, 1, 0, 0, 0, 1, 1), 0).kind, 'damaged');
    assert.equal(takeMbapFrame(Uint8Array.of(0, 1, 0, 0, 0, 255, 1), 0).kind, 'damaged');
  });

  it(`cannot be made out of ${mutations / 2} mutated ones unless its header is right`, () => {
    const random = randomFrom(502);
    let refused = 0;
    let accepted = 0;
    for (let run = 0; run < mutations / 2; run += 1) {
      const functionCode = (1 + (run & 3)) as 1 | 2 | 3 | 4;
      const quantity = 1 + Math.floor(random() * 20);
      const request = read(functionCode, 0, quantity);
      const bytes = dataBytes(functionCode, quantity);
      const content = Array.from({ length: bytes }, () => Math.floor(random() * 256));
      const received = mutate(
        mbapFrame(run & 0xffff, 1 + (run % 247), functionCode, bytes, ...content),
        random,
      );
      const frame = takeMbapFrame(received, 0);
      const isOurs = frame.kind === 'frame' && frame.transactionId === (run & 0xffff);
      const answer = isOurs && frame.unitId === 1 + (run % 247) ? parseAnswer(request, frame.pdu) : null;
      if (answer === null || answer.kind === 'fault') {
        refused += 1;
        continue;
      }
      accepted += 1;
      const length = answer.kind === 'data' ? bytes + 3 : 3;
      assert.deepEqual([...received.subarray(2, 6)], [0, 0, 0, length]);
      if (answer.kind === 'data') assert.deepEqual([...received.subarray(7, 9)], [functionCode, bytes]);
      else assert.equal(received[7], functionCode | 0x80);
    }
    assert.ok(
      refused > mutations / 4 && accepted > mutations / 100,
      `${refused} refused, ${accepted} accepted`,
    );
  });
});

describe('frames that answer nothing', () => {
  it('are found among noise', () => {
    const bytes = Buffer.concat([
      Uint8Array.of(7),
      rtuFrame(3, 4, 2, 1, 2),
      Uint8Array.of(9, 9),
      rtuFrame(4, 0x83, 6),
    ]);
    assert.deepEqual(
      findStrayFrames(bytes).map(({ unitId, functionCode }) => [unitId, functionCode]),
      [
        [3, 4],
        [4, 0x83],
      ],
    );
  });
});
