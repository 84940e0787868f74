import type { Framing } from '../options.ts';

/** A whole frame as the line gave it. */
export interface Frame {
  bytes: Uint8Array;
  /** Its check sum is right. Damaged frames are reported too, so that they can be counted. */
  sound: boolean;
}

/**
 * Bytes in any chunking → frames. It holds at most one frame's bytes for any input; after noise it finds
 * the next frame by itself. After a damaged binary frame the search goes on from its second byte, because its
 * start mark may have been in the middle of another frame.
 */
export interface Deframer {
  /** The frames that these bytes complete, in order. */
  push(bytes: Uint8Array): Frame[];
  /** The line fell silent: the bytes so far are a frame if frames end by silence; else they stay. */
  flush(): Frame[];
  /** Forgets the bytes so far. `midFrame`: the next bytes may be the rest of a frame, to be dropped. */
  reset(midFrame: boolean): void;
  /** Bytes so far that belonged to no frame. Line ends between frames with marks do not count. */
  readonly noiseBytes: number;
  /** The first of them since `forgetNoise`, up to `noiseKeptMax`. */
  readonly noise: Uint8Array;
  forgetNoise(): void;
  /** Bytes that may still become a frame. */
  readonly pending: Uint8Array;
}

/** Enough of most telegrams to recognise another kind of sensor. */
const noiseKeptMax = 256;

/** What the buffer begins with. */
type Finding =
  | { kind: 'frame'; from: number; to: number; consumed: number }
  | { kind: 'noise'; bytes: number }
  | { kind: 'unfinished' };

const unfinished: Finding = { kind: 'unfinished' };
const [lineFeed, carriageReturn] = [10, 13];

/** Without this limit, noise of nothing but start marks would be checked once for each of its bytes. */
const rescansMax = 16;

export function createDeframer(framing: Framing, isSound: (frame: Uint8Array) => boolean): Deframer {
  return new BufferedDeframer(framing, isSound);
}

class BufferedDeframer implements Deframer {
  readonly #framing: Framing;
  readonly #isSound: (frame: Uint8Array) => boolean;
  readonly #isText: boolean;
  readonly #buffer: Uint8Array;
  #from = 0;
  #to = 0;
  #noiseBytes = 0;
  #noise: Uint8Array = new Uint8Array(0);
  /** Damaged frames in a row that the search went on within. */
  #rescans = 0;
  /** Bytes up to the next end mark belong to a frame whose beginning was missed or did not fit. */
  #skipping = false;

  constructor(framing: Framing, isSound: (frame: Uint8Array) => boolean) {
    this.#framing = framing;
    this.#isSound = isSound;
    this.#isText = framing.by === 'line' || framing.by === 'delimiter';
    this.#buffer = new Uint8Array(bytesMax(framing));
  }

  get noiseBytes(): number {
    return this.#noiseBytes;
  }

  get noise(): Uint8Array {
    return this.#noise;
  }

  get pending(): Uint8Array {
    return this.#buffer.slice(this.#from, this.#to);
  }

  forgetNoise(): void {
    this.#noise = new Uint8Array(0);
  }

  push(bytes: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let rest = bytes;
    while (rest.length > 0) {
      const count = Math.min(rest.length, this.#buffer.length - this.#to);
      this.#buffer.set(rest.subarray(0, count), this.#to);
      this.#to += count;
      rest = rest.subarray(count);
      frames.push(...this.#take());
      while (this.#to === this.#buffer.length) {
        this.#makeRoom();
        frames.push(...this.#take());
      }
    }
    return frames;
  }

  flush(): Frame[] {
    if (this.#framing.by !== 'silence') return [];
    if (this.#skipping) {
      this.#drop(this.#to - this.#from);
      this.#skipping = false;
    }
    const bytes = this.pending;
    [this.#from, this.#to] = [0, 0];
    return bytes.length === 0 ? [] : [{ bytes, sound: this.#isSound(bytes) }];
  }

  reset(midFrame: boolean): void {
    this.#drop(this.#to - this.#from);
    [this.#from, this.#to] = [0, 0];
    this.#skipping = midFrame && (this.#isText || this.#framing.by === 'silence');
  }

  /** Drops this many bytes at the front. */
  #drop(count: number): void {
    const dropped = this.#buffer.subarray(this.#from, this.#from + count);
    const counted = this.#framing.by === 'start-end' ? dropped.filter((byte) => !isLineEnd(byte)) : dropped;
    this.#noiseBytes += counted.length;
    if (this.#noise.length < noiseKeptMax && counted.length > 0) {
      this.#noise = Buffer.concat([this.#noise, dropped]).subarray(0, noiseKeptMax);
    }
    this.#from += count;
  }

  #take(): Frame[] {
    const frames: Frame[] = [];
    while (this.#from < this.#to) {
      const finding = find(this.#framing, this.#buffer.subarray(this.#from, this.#to));
      if (finding.kind === 'unfinished') break;
      if (finding.kind === 'noise') {
        this.#drop(finding.bytes);
        continue;
      }
      if (this.#skipping) {
        this.#skipping = false;
        this.#drop(finding.consumed);
        continue;
      }
      const bytes = this.#buffer.slice(this.#from + finding.from, this.#from + finding.to);
      if (this.#isText && bytes.length === 0) {
        this.#from += finding.consumed;
        continue;
      }
      const sound = this.#isSound(bytes);
      frames.push({ bytes, sound });
      this.#rescans = sound || this.#isText || this.#rescans === rescansMax ? 0 : this.#rescans + 1;
      this.#from += this.#rescans === 0 ? finding.consumed : 1;
    }
    return frames;
  }

  #makeRoom(): void {
    if (this.#from > 0) {
      this.#buffer.copyWithin(0, this.#from, this.#to);
      [this.#from, this.#to] = [0, this.#to - this.#from];
      return;
    }
    // A full buffer without a frame: text is dropped up to its end mark; in other bytes the search goes on.
    const dropped = this.#isText || this.#framing.by === 'silence' ? this.#to : 1;
    if (dropped === this.#to) this.#skipping = true;
    this.#drop(dropped);
  }
}

function bytesMax(framing: Framing): number {
  if (framing.by === 'fixed-length') return framing.length;
  if (framing.by === 'line') return framing.bytesMax + 1; // with its end mark
  return framing.bytesMax + (framing.by === 'delimiter' ? framing.delimiter.length : 0);
}

function find(framing: Framing, buffer: Uint8Array): Finding {
  if (framing.by === 'line') return findLine(buffer);
  if (framing.by === 'delimiter') return findDelimiter(buffer, framing.delimiter);
  if (framing.by === 'silence') return unfinished;
  const start = findStart(buffer, framing.start);
  if (start !== null) return start;
  if (framing.by === 'fixed-length') return whole(buffer, framing.length);
  return framing.by === 'length-field' ? findByLength(buffer, framing) : findByEnd(buffer, framing);
}

function isLineEnd(byte: number): boolean {
  return byte === lineFeed || byte === carriageReturn;
}

function findLine(buffer: Uint8Array): Finding {
  const end = buffer.findIndex(isLineEnd);
  return end < 0 ? unfinished : { kind: 'frame', from: 0, to: end, consumed: end + 1 };
}

function findDelimiter(buffer: Uint8Array, delimiter: Uint8Array): Finding {
  const end = indexOf(buffer, delimiter, 0);
  return end < 0 ? unfinished : { kind: 'frame', from: 0, to: end, consumed: end + delimiter.length };
}

/** Null where the buffer begins with the whole start mark. */
function findStart(buffer: Uint8Array, start: Uint8Array): Finding | null {
  for (let skip = 0; skip < buffer.length; skip++) {
    const length = Math.min(start.length, buffer.length - skip);
    if (!start.subarray(0, length).every((byte, index) => buffer[skip + index] === byte)) continue;
    if (skip > 0) return { kind: 'noise', bytes: skip };
    return length < start.length ? unfinished : null;
  }
  return { kind: 'noise', bytes: buffer.length };
}

function findByLength(buffer: Uint8Array, framing: Framing & { by: 'length-field' }): Finding {
  const { offset, size, order, adjust } = framing;
  if (buffer.length < offset + size) return unfinished;
  const [first, second] = [buffer[offset]!, buffer[offset + size - 1]!];
  const field = size === 1 ? first : order === 'big' ? first * 256 + second : second * 256 + first;
  const length = field + adjust;
  if (length < offset + size || length > framing.bytesMax) return { kind: 'noise', bytes: 1 };
  return whole(buffer, length);
}

function findByEnd(buffer: Uint8Array, framing: Framing & { by: 'start-end' }): Finding {
  const end = indexOf(buffer, framing.end, framing.start.length);
  return end < 0 ? unfinished : whole(buffer, end + framing.end.length + framing.trailer);
}

function whole(buffer: Uint8Array, length: number): Finding {
  return buffer.length < length ? unfinished : { kind: 'frame', from: 0, to: length, consumed: length };
}

function indexOf(buffer: Uint8Array, part: Uint8Array, from: number): number {
  return Buffer.from(buffer.buffer, buffer.byteOffset, buffer.length).indexOf(part, from);
}
