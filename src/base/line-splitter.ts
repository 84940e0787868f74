const newline = 0x0a;
/** A small line that comes in pieces needs no second allocation. */
const pendingBytesMin = 4096;

/**
 * Bytes in any pieces → lines without their end. Holds one unfinished line of at most `bytesMax` bytes, in a
 * buffer of at most twice that, for pieces of any size. `push` throws RangeError at a longer line; the splitter can't
 * be used afterwards.
 */
export function createLineSplitter(
  bytesMax: number,
  onLine: (line: string, bytes: number) => void,
): (bytes: Buffer) => void {
  let pending = Buffer.alloc(0);
  let pendingBytes = 0;

  const hold = (piece: Buffer): void => {
    const needed = pendingBytes + piece.length;
    if (needed > bytesMax) throw new RangeError(`a line has more than ${bytesMax} bytes`);
    if (needed > pending.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * pending.length, pendingBytesMin));
      pending.copy(larger, 0, 0, pendingBytes);
      pending = larger;
    }
    piece.copy(pending, pendingBytes);
    pendingBytes = needed;
  };

  const finish = (piece: Buffer): Buffer => {
    if (pendingBytes === 0 && piece.length <= bytesMax) return piece;
    hold(piece);
    const line = pending.subarray(0, pendingBytes);
    pending = Buffer.alloc(0);
    pendingBytes = 0;
    return line;
  };

  return (bytes) => {
    let from = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, from)) {
      const line = finish(bytes.subarray(from, end));
      from = end + 1;
      onLine(line.toString('utf8'), line.length);
    }
    if (from < bytes.length) hold(bytes.subarray(from));
  };
}
