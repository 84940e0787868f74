const colon = 0x3a;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

/** With colon, CR and LF (Modbus over serial line V1.02 §2.5.2.1). */
const frameBytesMax = 513;
/** Unit id, function code, data and LRC, each a byte of two hexadecimal digits. */
const wholeFrame = /^:(?:[0-9A-Fa-f]{2}){4,255}\r\n$/;

/** Finds what can be a frame of Modbus ASCII in the bytes of a line, and keeps no more of them than the longest. */
export class AsciiFramer {
  readonly #frame = Buffer.alloc(frameBytesMax);
  /** Bytes of the frame that has begun; 0 until the next colon. */
  #length = 0;

  /** The frames, colon to LF, that end in these bytes. Their LRC is not looked at. */
  push(bytes: Uint8Array): Buffer[] {
    const frames: Buffer[] = [];
    for (const byte of bytes) {
      // A colon begins a frame wherever it comes: what was before it is cut off.
      if (byte === colon) this.#length = 0;
      else if (this.#length === 0) continue;
      if (this.#length === frameBytesMax) {
        this.#length = 0;
        continue;
      }
      this.#frame[this.#length++] = byte;
      if (byte !== lineFeed || this.#frame[this.#length - 2] !== carriageReturn) continue;
      const frame = Buffer.from(this.#frame.subarray(0, this.#length));
      this.#length = 0;
      if (wholeFrame.test(frame.toString('latin1'))) frames.push(frame);
    }
    return frames;
  }
}
