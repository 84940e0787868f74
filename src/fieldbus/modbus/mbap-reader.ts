import { headerBytes, takeMbapFrame } from './mbap.ts';
import { dataBytes, type Request } from './pdu.ts';

/** A request whose answer may come, or may yet come. */
export interface AskedRequest {
  unitId: number;
  request: Request;
}

/** What was asked with this transaction id. */
export type Asked = (transactionId: number) => AskedRequest | undefined;

export interface ReceivedFrame {
  transactionId: number;
  unitId: number;
  pdu: Uint8Array;
}

/** A byte that is needed to know a header: MBAP's seven and the function code. */
const knownBytes = headerBytes + 1;
/** Bytes that make no frame are kept up to this many: two of the largest answers. */
const restBytesMax = 520;

/**
 * Cuts frames out of a stream of Modbus TCP. It uses the requests in flight: an exception is two bytes and a read
 * answer as long as its byte count, even if the header announces another length; after stray bytes, the next frame
 * begins at the header of an expected answer.
 */
export class MbapReader {
  #rest: Uint8Array = new Uint8Array(0);
  /** Bytes that were no part of any frame, since the last one. */
  #strayBytes = 0;

  /** Bytes that were no part of any frame have come since the last frame. */
  get hasStray(): boolean {
    return this.#strayBytes > 0;
  }

  /** Enough bytes for a header have come, and they hold none. */
  isLost(asked: Asked): boolean {
    const enough = this.#strayBytes + this.#rest.length >= knownBytes;
    return this.hasStray && enough && expectedAt(this.#rest, 0, asked) === undefined;
  }

  /** The incomplete answer, with the number of bytes that its header announces and that have come. */
  begun(asked: Asked): { transactionId: number; announced: number; came: number } | null {
    if (expectedAt(this.#rest, 0, asked) === undefined) return null;
    const announced = wordAt(this.#rest, 4);
    return { transactionId: wordAt(this.#rest, 0), announced, came: this.#rest.length - headerBytes + 1 };
  }

  clear(): void {
    this.#rest = new Uint8Array(0);
    this.#strayBytes = 0;
  }

  /** The frames that are whole with `chunk`. */
  read(chunk: Uint8Array, asked: Asked): ReceivedFrame[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: ReceivedFrame[] = [];
    let start = 0;
    while (start < bytes.length) {
      const found = nextFrame(bytes, start, asked);
      if (found.kind === 'incomplete') break;
      if (found.kind === 'frame') {
        frames.push(found.frame);
        this.#strayBytes = 0;
      } else {
        this.#strayBytes += found.next - start;
      }
      start = found.next;
    }
    this.#rest = bytes.subarray(Math.max(start, bytes.length - restBytesMax));
    return frames;
  }
}

type Cut =
  | { kind: 'frame'; frame: ReceivedFrame; next: number }
  /** Bytes before `next` are part of no frame. */
  | { kind: 'stray'; next: number }
  | { kind: 'incomplete' };

function nextFrame(bytes: Uint8Array, start: number, asked: Asked): Cut {
  const own = expectedAt(bytes, start, asked);
  if (own !== undefined) return cutExpected(bytes, start, own.request, asked);
  const resumeAt = findExpected(bytes, start + 1, asked);
  const frame = takeMbapFrame(bytes, start);
  if (frame.kind === 'frame' && frame.next <= (resumeAt ?? Infinity)) {
    const { transactionId, unitId, pdu, next } = frame;
    return { kind: 'frame', frame: { transactionId, unitId, pdu }, next };
  }
  if (resumeAt !== null) return { kind: 'stray', next: resumeAt };
  return frame.kind === 'damaged' ? { kind: 'stray', next: start + 1 } : { kind: 'incomplete' };
}

/** The request that the header at `start` answers, if any. */
function expectedAt(bytes: Uint8Array, start: number, asked: Asked): AskedRequest | undefined {
  if (bytes.length - start < knownBytes) return undefined;
  if (wordAt(bytes, start + 2) !== 0) return undefined;
  const known = asked(wordAt(bytes, start));
  // No valid length is this large: if the unit id is the expected one, the length is wrong.
  if (bytes[start + 4] !== 0 && known?.unitId !== bytes[start + headerBytes - 1]) return undefined;
  const functionCode = bytes[start + headerBytes]! & 0x7f;
  return known?.request.functionCode === functionCode ? known : undefined;
}

/** Where an expected answer begins after stray bytes; its unit id has to match as well. */
function findExpected(bytes: Uint8Array, from: number, asked: Asked): number | null {
  for (let start = from; start + knownBytes <= bytes.length; start += 1) {
    const known = expectedAt(bytes, start, asked);
    if (known !== undefined && known.unitId === bytes[start + headerBytes - 1]) return start;
  }
  return null;
}

function cutExpected(bytes: Uint8Array, start: number, request: Request, asked: Asked): Cut {
  const pduAt = start + headerBytes;
  const length = pduLength(bytes, pduAt, wordAt(bytes, start + 4) - 1, request);
  let next = pduAt + (length ?? Infinity);
  if (next <= pduAt) return { kind: 'stray', next: start + 1 };
  if (next > bytes.length) {
    // Shorter than announced, it ends where the next one begins.
    const resumeAt = findExpected(bytes, start + knownBytes, asked);
    if (resumeAt === null) return { kind: 'incomplete' };
    next = resumeAt;
  }
  const transactionId = wordAt(bytes, start);
  const frame = { transactionId, unitId: bytes[pduAt - 1]!, pdu: bytes.subarray(pduAt, next) };
  return { kind: 'frame', frame, next };
}

/** The PDU's own length where it tells one, else what the header announces; null: more bytes are needed to know. */
function pduLength(bytes: Uint8Array, pduAt: number, announced: number, request: Request): number | null {
  if (bytes[pduAt]! >= 0x80) return 2;
  if (request.functionCode === 17 || request.functionCode === 43) return announced;
  const byteCount = bytes[pduAt + 1];
  if (byteCount === undefined) return null;
  const length = 2 + byteCount;
  const isWhole = byteCount === dataBytes(request.functionCode, request.quantity) && length <= announced;
  return isWhole ? length : announced;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
