import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SerialDeviceOptions } from '../../../src/fieldbus/options.ts';
import { expandProfile } from '../../../src/config/profile/expansion.ts';
import { loadProfile } from '../../../src/config/profile/profile.ts';
import { createSerialReader } from '../../../src/fieldbus/serial/serial-reader.ts';
import type { SerialLine } from '../../../src/fieldbus/serial/serial-line.ts';
import type { Sample } from '../../../src/reading/sample.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { mutations } from '../../support/mutation.ts';
import { randomFrom } from '../../support/random.ts';
import { readTranscript } from '../../support/transcript.ts';
import { builtInProfiles } from '../../config/profile/built-in.ts';
import { unlimited } from './rig.ts';

/** Each kind of check by other code than the program's: what a frame must satisfy to count. */
const checks: Record<string, { start: number; believed: (bytes: Uint8Array) => boolean }> = {
  'nmea-0183': {
    start: 0x24,
    believed: (bytes) => {
      const match = /^\$(.*)\*([0-9A-Fa-f]{2})$/s.exec(Buffer.from(bytes).toString('latin1'));
      if (match === null) return false;
      let check = 0;
      for (const byte of Buffer.from(match[1]!, 'latin1')) check ^= byte;
      return check === Number.parseInt(match[2]!, 16);
    },
  },
  sds011: {
    start: 0xaa,
    believed: (bytes) =>
      bytes.length === 10 && bytes.subarray(2, 8).reduce((sum, byte) => (sum + byte) % 256, 0) === bytes[8],
  },
  pms5003: {
    start: 0x42,
    believed: (bytes) =>
      bytes.length === 32 &&
      bytes.subarray(0, 30).reduce((sum, byte) => sum + byte, 0) === bytes[30]! * 256 + bytes[31]!,
  },
  'dsmr-p1': {
    start: 0x2f,
    believed: (bytes) => {
      let crc = 0;
      for (const byte of bytes.subarray(0, -4)) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
      }
      return crc === Number.parseInt(Buffer.from(bytes.subarray(-4)).toString('latin1'), 16);
    },
  },
};

const noLine = {} as SerialLine; // a sensor that sends by itself is never written to

/** A reader whose port is closed and opened again for each stream, so that nothing of the previous one is left. */
class Ear {
  readonly #clock = new FakeClock();
  readonly #samples: Sample[] = [];
  readonly #reader;

  constructor(name: string) {
    const expansion = expandProfile(loadProfile(name, [builtInProfiles]), { everyMs: 1 });
    assert.ok(expansion.kind === 'serial');
    const device: SerialDeviceOptions = {
      name,
      silo: 'north',
      bus: 'line',
      responseTimeoutMs: 1000,
      ...expansion,
    };
    const deliver = (sample: Sample): number => this.#samples.push(sample);
    this.#reader = createSerialReader(device, {
      line: noLine,
      clock: this.#clock,
      siloTime: unlimited,
      isAlone: () => true,
      deliver,
      onIdentity: () => {},
    });
  }

  /** The values, as text, that the pieces give. */
  hear(pieces: Iterable<Uint8Array>): string[] {
    this.#reader.opened();
    this.#clock.advance(0.5);
    this.#samples.length = 0;
    for (const piece of pieces) this.#reader.receive(piece);
    this.#clock.advance(1.5);
    const values = this.#samples.flatMap((sample) => Object.entries(sample.values));
    this.#reader.lost();
    return values.map(([point, value]) => `${point}=${value}`);
  }

  get damagedFrames(): number {
    return this.#reader.status().failures['crc'] ?? 0;
  }

  stop(): void {
    this.#reader.stop();
  }
}

/** Values of every valid frame within the stream, as a reader for that frame alone gives them. */
function believable(name: string, stream: Uint8Array, ear: Ear): Set<string> {
  const found = new Set<string>();
  const { start, believed } = checks[name]!;
  const text = Buffer.from(stream);
  for (let from = text.indexOf(start); from >= 0; from = text.indexOf(start, from + 1)) {
    for (const to of endsOf(name, text, from)) {
      const frame = text.subarray(from, to);
      if (!believed(frame)) continue;
      for (const value of ear.hear([frame, Buffer.from('\r\n')])) found.add(value);
    }
  }
  return found;
}

function* cut(stream: Uint8Array, random: () => number): Generator<Uint8Array> {
  for (let at = 0; at < stream.length; ) {
    const size = 1 + Math.floor(random() * random() * 40);
    yield stream.subarray(at, at + size);
    at += size;
  }
}

function endsOf(name: string, text: Buffer, from: number): number[] {
  if (name === 'sds011') return [from + 10];
  if (name === 'pms5003') return [from + 32];
  if (name === 'dsmr-p1') return [text.indexOf(0x21, from) + 5];
  const ends = [text.indexOf(10, from), text.indexOf(13, from)].filter((end) => end >= 0);
  return [Math.min(...ends, text.length)];
}

describe('a sensor that sends anything', () => {
  for (const [name, rounds] of [
    ['nmea-0183', 3000],
    ['sds011', 12_000],
    ['pms5003', 12_000],
    ['dsmr-p1', 800],
  ] as const) {
    it(`${name}: takes values only from a frame whose check holds, for any pieces and damage`, () => {
      const random = randomFrom(name.length);
      const recorded = Buffer.concat(readTranscript(`${name}.txt`).steps.map(({ bytes }) => bytes));
      const [ear, judge] = [new Ear(name), new Ear(name)];
      let [chunks, given] = [0, 0];
      for (const stream of mutations(recorded, rounds, name.length)) {
        const pieces = [...cut(stream, random)];
        chunks += pieces.length;
        const values = ear.hear(pieces);
        given += values.length;
        if (values.length === 0) continue;
        const allowed = believable(name, stream, judge);
        for (const value of values) assert.ok(allowed.has(value), `${value} of ${stream.toString('hex')}`);
      }
      assert.ok(given > rounds / 4, `${given} values of ${chunks} chunks`);
      assert.ok(ear.damagedFrames > rounds / 10, `${ear.damagedFrames} damaged frames`);
      ear.stop();
      judge.stop();
    });
  }

  it('survives endless noise, and keeps none of it', () => {
    const random = randomFrom(1);
    for (const name of Object.keys(checks)) {
      const ear = new Ear(name);
      const noise = Uint8Array.from({ length: 65_536 }, () => Math.floor(random() * 256));
      const starts = new Uint8Array(65_536).fill(checks[name]!.start);
      const before = process.memoryUsage().arrayBuffers;
      const values = ear.hear(Array.from({ length: 6 }, () => [noise, starts]).flat());
      ear.stop();
      assert.ok(process.memoryUsage().arrayBuffers - before < 100_000_000, `${name} gives its frames back`);
      assert.ok(name !== 'dsmr-p1' || values.length === 0);
    }
  });
});
