const newline = 0x0a;

/**
 * Bytes in any pieces → lines without their end. Holds one unfinished line of at most `bytesMax` bytes;
 * `push` throws RangeError at a longer one, and the splitter is of no more use then.
 */
export function createLineSplitter(
  bytesMax: number,
  onLine: (line: string) => void,
): (bytes: Buffer) => void {
  let pieces: Buffer[] = [];
  let held = 0;
  return (bytes) => {
    let from = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, from)) {
      const line = bytes.subarray(from, end);
      from = end + 1;
      if (held + line.length > bytesMax) throw new RangeError(`a line has more than ${bytesMax} bytes`);
      const whole = pieces.length === 0 ? line : Buffer.concat([...pieces, line]);
      pieces = [];
      held = 0;
      onLine(whole.toString('utf8'));
    }
    held += bytes.length - from;
    if (held > bytesMax) throw new RangeError(`a line has more than ${bytesMax} bytes`);
    if (from < bytes.length) pieces.push(bytes.subarray(from));
  };
}
