import { crc16 } from './crc.ts';
import {
  type Answer,
  answerLength,
  beginsAnswer,
  encodeRequest,
  expectedLength,
  parseAnswer,
  type Request,
} from './pdu.ts';

/** Unit id before the PDU and CRC after it (Modbus over serial line V1.02 §2.3). */
export const rtuOverhead = 3;
/** The shortest ADU: an exception. */
const aduBytesMin = 5;

export function encodeRtu(unitId: number, request: Request): Uint8Array {
  const pdu = encodeRequest(request);
  const adu = new Uint8Array(pdu.length + rtuOverhead);
  adu[0] = unitId;
  adu.set(pdu, 1);
  const crc = crc16(adu, 0, adu.length - 2);
  adu[adu.length - 2] = crc & 0xff;
  adu[adu.length - 1] = crc >> 8;
  return adu;
}

/** The request, its unit id and its bytes as sent (a two-wire adapter may hear them again). */
export interface Question {
  unitId: number;
  request: Request;
  adu: Uint8Array;
}

export type Reception =
  /** `skipped` bytes before it were noise, or another frame; its last byte is before `end`. */
  | { kind: 'answer'; answer: Answer; start: number; end: number }
  /** How many bytes have still to come, as far as known. */
  | { kind: 'incomplete'; missing: number };

/**
 * Looks for the answer in everything received since the question went out. Echoes of the question and
 * noise are skipped; only a frame with the right unit, function, length and CRC is taken.
 * A frame byte-equal to the question is its echo and never an answer.
 */
export function findAnswer(received: Uint8Array, question: Question): Reception {
  const { unitId, request, adu } = question;
  let missing = expectedLength(request) + rtuOverhead;
  for (let start = 0; start < received.length; start += 1) {
    if (isEcho(received, start, adu)) {
      start += adu.length - 1;
      continue;
    }
    const pdu = received.subarray(start + 1);
    if (received[start] !== unitId || !beginsAnswer(request, pdu)) continue;
    const length = answerLength(request, pdu) + rtuOverhead;
    const end = start + length;
    if (end > received.length) {
      missing = Math.min(missing, end - received.length);
      continue;
    }
    if (!hasValidCrc(received, start, end)) continue;
    const answer = parseAnswer(request, received.subarray(start + 1, end - 2));
    if (answer.kind !== 'fault') return { kind: 'answer', answer, start, end };
  }
  return { kind: 'incomplete', missing };
}

function isEcho(received: Uint8Array, start: number, adu: Uint8Array): boolean {
  return adu.every((byte, index) => received[start + index] === byte);
}

function hasValidCrc(bytes: Uint8Array, start: number, end: number): boolean {
  return crc16(bytes, start, end - 2) === (bytes[end - 2]! | (bytes[end - 1]! << 8));
}

/** A frame with a right CRC, from any unit. */
export interface StrayFrame {
  unitId: number;
  functionCode: number;
  /** Data bytes that it announces; 0 for an exception. */
  byteCount: number;
  start: number;
  end: number;
}

/** Every undamaged read answer or exception among bytes that were not the answer waited for. */
export function findStrayFrames(bytes: Uint8Array): StrayFrame[] {
  const frames: StrayFrame[] = [];
  let start = 0;
  while (start + aduBytesMin <= bytes.length) {
    const functionCode = bytes[start + 1]!;
    const isException = functionCode >= 0x80;
    const byteCount = isException ? 0 : bytes[start + 2]!;
    const end = start + aduBytesMin + byteCount;
    if (end <= bytes.length && hasValidCrc(bytes, start, end)) {
      frames.push({ unitId: bytes[start]!, functionCode, byteCount, start, end });
      start = end;
    } else {
      start += 1;
    }
  }
  return frames;
}

/** Why the received bytes hold no answer; each means that the line failed, not a register. */
export type FaultKind =
  | 'timeout'
  | 'crc'
  | 'wrong-unit'
  | 'wrong-function'
  | 'wrong-length'
  | 'short-frame'
  | 'noise'
  /** Modbus TCP: it answers with another transaction id. */
  | 'wrong-transaction'
  /** Modbus TCP: what comes is something else. */
  | 'not-modbus';

/** Names the fault once it is clear that no answer will come. */
export function nameFault(received: Uint8Array, question: Question): FaultKind {
  const { unitId, request } = question;
  const rest = withoutEchoes(received, question.adu);
  if (rest.length === 0) return 'timeout';
  const [stray] = findStrayFrames(rest);
  if (stray) {
    if (stray.unitId !== unitId) return 'wrong-unit';
    return (stray.functionCode & 0x7f) === request.functionCode ? 'wrong-length' : 'wrong-function';
  }
  for (let start = 0; start + 1 < rest.length; start += 1) {
    const pdu = rest.subarray(start + 1);
    if (rest[start] !== unitId || !beginsAnswer(request, pdu)) continue;
    return start + answerLength(request, pdu) + rtuOverhead > rest.length ? 'short-frame' : 'crc';
  }
  const expected = expectedLength(request) + rtuOverhead;
  return rest.length >= expected ? 'crc' : 'noise';
}

/** What was heard in place of an answer, and what to do about it. */
export function describeFault(fault: FaultKind, received: Uint8Array, { unitId, request }: Question): string {
  const [stray] = findStrayFrames(received);
  switch (fault) {
    case 'wrong-unit':
      return `unit ${stray?.unitId} answers where ${unitId} was asked; set 'unitId: ${stray?.unitId}', or look for another master on the line`;
    case 'wrong-function':
      return `function ${stray && stray.functionCode & 0x7f} is answered where ${request.functionCode} was asked; look for another master on the line`;
    case 'wrong-length':
      return `wrong length: ${describeCount(request)} asked, ${stray?.byteCount} bytes came; set the device's 'registersMax' to what it gives`;
    case 'short-frame':
      return 'answers come cut short; check wiring and termination, and raise the baud rate only as far as the cable bears';
    case 'crc':
      return 'answers come damaged; check wiring, termination and bias, that no two devices have one unit id, and the parity if none was ever whole';
    case 'noise':
      return 'bytes come that are no frame; check baud rate and parity, and whether A and B are swapped';
    case 'timeout':
    case 'wrong-transaction':
    case 'not-modbus':
      return fault;
  }
}

function describeCount(request: Request): string {
  if (request.functionCode === 17 || request.functionCode === 43) return 'its identification';
  return `${request.quantity} ${request.functionCode <= 2 ? 'bits' : 'registers'}`;
}

/** What was received, less the question heard again. */
export function withoutEchoes(received: Uint8Array, adu: Uint8Array): Uint8Array {
  for (let start = 0; start + adu.length <= received.length; start += 1) {
    if (!isEcho(received, start, adu)) continue;
    const rest = new Uint8Array(received.length - adu.length);
    rest.set(received.subarray(0, start));
    rest.set(received.subarray(start + adu.length), start);
    return withoutEchoes(rest, adu);
  }
  return received;
}
