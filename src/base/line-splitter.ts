const newline = 0x0a;
/** A small line that comes in pieces needs no second allocation. */
const heldBytesMin = 4096;

/**
 * Bytes in any pieces → lines without their end. Holds one unfinished line of at most `bytesMax` bytes, in at
 * most twice as many whatever the pieces are; `push` throws RangeError at a longer one, and the splitter is of no
 * more use then.
 */
export function createLineSplitter(
  bytesMax: number,
  onLine: (line: string, bytes: number) => void,
): (bytes: Buffer) => void {
  let held = Buffer.alloc(0);
  let heldBytes = 0;

  const hold = (piece: Buffer): void => {
    const needed = heldBytes + piece.length;
    if (needed > bytesMax) throw new RangeError(`a line has more than ${bytesMax} bytes`);
    if (needed > held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * held.length, heldBytesMin));
      held.copy(larger, 0, 0, heldBytes);
      held = larger;
    }
    piece.copy(held, heldBytes);
    heldBytes = needed;
  };

  const finish = (piece: Buffer): Buffer => {
    if (heldBytes === 0 && piece.length <= bytesMax) return piece;
    hold(piece);
    const line = held.subarray(0, heldBytes);
    held = Buffer.alloc(0);
    heldBytes = 0;
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
