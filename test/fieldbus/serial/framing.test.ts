import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Framing } from '../../../src/fieldbus/options.ts';
import { checksumHolds } from '../../../src/fieldbus/serial/checksum.ts';
import { createDeframer } from '../../../src/fieldbus/serial/framing.ts';

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
const text = (content: string): Uint8Array => Buffer.from(content, 'latin1');
const shown = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const always = (): boolean => true;

const framings: Record<string, { framing: Framing; frames: string[]; onTheLine: (frame: string) => string }> =
  {
    line: {
      framing: { by: 'line', bytesMax: 20 },
      frames: ['+0012.5 kg', 'second', 'x'],
      onTheLine: (frame) => `${frame}\r\n`,
    },
    delimiter: {
      framing: { by: 'delimiter', delimiter: text('#;'), bytesMax: 20 },
      frames: ['a#b', 'c;d', 'e'],
      onTheLine: (frame) => `${frame}#;`,
    },
    'fixed length': {
      framing: { by: 'fixed-length', start: hex('AAC0'), length: 6 },
      frames: ['\xaa\xc01234', '\xaa\xc0\xaa\xc0\xaa\xc0'],
      onTheLine: (frame) => frame,
    },
    'length field': {
      framing: {
        by: 'length-field',
        start: text('BM'),
        offset: 2,
        size: 2,
        order: 'big',
        adjust: 4,
        bytesMax: 20,
      },
      frames: ['BM\0\x03abc', 'BM\0\x00', 'BM\0\x0cBM\0\x01BM\0\x02BM\0\x03'],
      onTheLine: (frame) => frame,
    },
    'start and end': {
      framing: { by: 'start-end', start: text('/'), end: text('!'), trailer: 2, bytesMax: 20 },
      frames: ['/abc!12', '/!!!', '/a/b/c!!!'],
      onTheLine: (frame) => frame,
    },
  };

function chunked(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length));
}

describe('framing', () => {
  for (const [name, { framing, frames, onTheLine }] of Object.entries(framings)) {
    it(`finds frames by ${name} in any pieces`, () => {
      const sent = text(frames.map(onTheLine).join(''));
      fc.assert(
        fc.property(fc.array(fc.nat(), { maxLength: 12 }), (cuts) => {
          const deframer = createDeframer(framing, always);
          const found = chunked(sent, cuts).flatMap((chunk) => deframer.push(chunk));
          assert.deepEqual(
            found.map(({ bytes }) => shown(bytes)),
            frames,
          );
          assert.equal(deframer.noiseBytes, 0);
        }),
      );
    });

    it(`finds the next frame by ${name} after noise and after a frame that was too long`, () => {
      const deframer = createDeframer(framing, always);
      deframer.push(text('%'.repeat(500)));
      deframer.push(text(onTheLine('')));
      const found = deframer.push(text(frames.map(onTheLine).join('')));
      assert.deepEqual(
        found.slice(-frames.length).map(({ bytes }) => shown(bytes)),
        frames,
      );
      assert.ok(deframer.noiseBytes >= 480);
    });
  }

  it('ends a frame at silence', () => {
    const deframer = createDeframer({ by: 'silence', silenceMs: 20, bytesMax: 8 }, always);
    assert.deepEqual(deframer.push(text('ab')), []);
    deframer.push(text('cd'));
    assert.deepEqual(
      deframer.flush().map(({ bytes }) => shown(bytes)),
      ['abcd'],
    );
    assert.deepEqual(deframer.flush(), []);
    deframer.push(text('far too long for it'));
    assert.deepEqual(deframer.flush(), []);
    deframer.push(text('ef'));
    assert.deepEqual(
      deframer.flush().map(({ bytes }) => shown(bytes)),
      ['ef'],
    );
  });

  it('drops the rest of a line whose beginning it missed', () => {
    const deframer = createDeframer({ by: 'line', bytesMax: 20 }, always);
    deframer.reset(true);
    const found = deframer.push(text('12.5 kg\r\n+0013.0 kg\r\n'));
    assert.deepEqual(
      found.map(({ bytes }) => shown(bytes)),
      ['+0013.0 kg'],
    );
  });

  it('finds a frame whose start stood within a damaged one', () => {
    const framing = { by: 'fixed-length', start: hex('AAC0'), length: 10 } as const;
    const check = { kind: 'sum8', from: 2, to: -2, at: -2, encoding: 'binary-big' } as const;
    const deframer = createDeframer(framing, (frame) => checksumHolds(frame, check));
    const frame = hex('AA C0 D4 04 3A 0A A1 60 1D AB');
    const found = deframer.push(Uint8Array.from([...frame.subarray(0, 4), ...frame, ...frame]));
    assert.deepEqual(
      found.map(({ sound }) => sound),
      [false, true, true],
    );
    assert.deepEqual(Uint8Array.from(found[1]!.bytes), Uint8Array.from(frame));
  });

  it('holds no more than one frame for any input', () => {
    const deframer = createDeframer(
      { by: 'start-end', start: text('/'), end: text('!'), trailer: 4, bytesMax: 64 },
      always,
    );
    let given = 0;
    for (let round = 0; round < 1000; round++) given += deframer.push(text('/'.repeat(97))).length;
    assert.equal(given, 0);
    assert.ok(deframer.noiseBytes >= 97_000 - 64);
  });
});
