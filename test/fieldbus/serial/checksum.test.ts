import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { checksumHolds, computeChecksum } from '../../../src/fieldbus/serial/checksum.ts';
import { checksumEncodings, placedChecksumKinds } from '../../../src/fieldbus/options.ts';

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
const text = (content: string): Uint8Array => Buffer.from(content, 'latin1');

describe('checksum', () => {
  // The check values of "123456789" in the catalogue of parametrised CRC algorithms (reveng.sourceforge.io).
  for (const [kind, check] of [
    ['crc8', 'f4'],
    ['crc8-maxim', 'a1'],
    ['crc16-modbus', '4b37'],
    ['crc16-arc', 'bb3d'],
    ['crc16-ccitt', '29b1'],
    ['crc16-xmodem', '31c3'],
    ['crc16-x25', '906e'],
    ['xor', '31'],
    ['sum8', 'dd'],
    ['sum16', '01dd'],
  ] as const) {
    it(`computes ${kind}`, () => {
      assert.deepEqual(computeChecksum(kind, text('123456789'), 'binary-big'), Uint8Array.from(hex(check)));
    });
  }

  it('holds for a Modbus request', () => {
    const options = { kind: 'crc16-modbus', from: 0, to: -2, at: -2, encoding: 'binary-little' } as const;
    assert.ok(checksumHolds(hex('01 04 00 00 00 50 F0 36'), options));
    assert.ok(!checksumHolds(hex('01 04 00 00 00 50 F0 37'), options));
  });

  it('holds for an SDS011 frame', () => {
    const options = { kind: 'sum8', from: 2, to: -2, at: -2, encoding: 'binary-big' } as const;
    assert.ok(checksumHolds(hex('AA C0 D4 04 3A 0A A1 60 1D AB'), options));
    assert.ok(!checksumHolds(hex('AA C0 D4 04 3B 0A A1 60 1D AB'), options));
  });

  it('holds for an SDI-12 answer with its CRC', () => {
    // The examples of SDI-12 1.4 §4.4.12.4.
    const options = { kind: 'crc16-arc', from: 0, to: -3, at: -3, encoding: 'sdi-12' } as const;
    assert.ok(checksumHolds(text('0+3.14OqZ'), options));
    assert.ok(checksumHolds(text('0+3.14+2.718+1.414Ipz'), options));
    assert.ok(!checksumHolds(text('0+3.15OqZ'), options));
  });

  it('takes NMEA 0183 digits in either case, and nothing without them', () => {
    const options = { kind: 'nmea-0183' } as const;
    assert.ok(checksumHolds(text('$GPGLL,4916.45,N,12311.12,W,225444,A,*1D'), options));
    assert.ok(checksumHolds(text('$GPGLL,4916.45,N,12311.12,W,225444,A,*1d'), options));
    assert.ok(!checksumHolds(text('$GPGLL,4916.46,N,12311.12,W,225444,A,*1D'), options));
    assert.ok(!checksumHolds(text('$GPGLL,4916.45,N,12311.12,W,225444,A,'), options));
    for (const short of ['', '*', '$*0', '*00', '$*00']) {
      assert.ok(!checksumHolds(text(short), options));
    }
  });

  it('never holds for a frame without room for it, and finds every single flipped bit', () => {
    const parts = fc.record({
      kind: fc.constantFrom(...placedChecksumKinds),
      encoding: fc.constantFrom(...checksumEncodings),
      body: fc.uint8Array({ minLength: 1, maxLength: 40 }),
      flip: fc.nat(),
    });
    fc.assert(
      fc.property(parts, ({ kind, encoding, body, flip }) => {
        const check = computeChecksum(kind, body, encoding);
        const options = { kind, encoding, from: 0, to: -check.length, at: -check.length };
        const frame = Uint8Array.from([...body, ...check]);
        assert.ok(checksumHolds(frame, options));
        assert.ok(!checksumHolds(check.subarray(1), options));
        const damaged = Uint8Array.from(frame);
        damaged[flip % body.length]! ^= 1 << (flip % 8);
        assert.ok(!checksumHolds(damaged, options));
      }),
      { numRuns: 2000 },
    );
  });
});
