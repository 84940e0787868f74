/**
 * Follows the packets in a stream of MQTT, and finds one that is announced to be larger than it may be by its fixed
 * header [MQTT5 2.1.4], before its bytes have come. Pure but for its place in the stream.
 */
export class FrameGuard {
  #bytesMax: number;
  /** Of the current packet, still to come. */
  #left = 0;
  /** While a fixed header is being read: how many of its bytes were, and what they say. */
  #headerBytes = 0;
  #length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** A packet of this size may come from now on. */
  allow(bytes: number): void {
    this.#bytesMax = Math.max(this.#bytesMax, bytes);
  }

  /** The size of the first packet that is too large, as far as `chunk` tells; undefined if there is none. */
  tooLarge(chunk: Uint8Array): number | undefined {
    for (let at = 0; at < chunk.length; ) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, chunk.length - at);
        this.#left -= skipped;
        at += skipped;
        continue;
      }
      const bytes = this.#readHeader(chunk[at]!);
      at += 1;
      if (bytes !== undefined && bytes > this.#bytesMax) return bytes;
    }
    return undefined;
  }

  /** The whole packet's size, once its header is complete. */
  #readHeader(byte: number): number | undefined {
    this.#headerBytes += 1;
    if (this.#headerBytes === 1) return undefined;
    this.#length += (byte & 0x7f) * 128 ** (this.#headerBytes - 2);
    // A fifth byte is no MQTT, which the parser says.
    if (byte >= 0x80 && this.#headerBytes < 5) return undefined;
    const bytes = this.#headerBytes + this.#length;
    this.#left = this.#length;
    this.#headerBytes = 0;
    this.#length = 0;
    return bytes;
  }
}
