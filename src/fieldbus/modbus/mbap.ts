import { encodeRequest, pduBytesMax, type Request } from './pdu.ts';

/** MBAP header (Modbus messaging on TCP/IP V1.0b §3.1.3): transaction, protocol (0), length, unit. */
export const headerBytes = 7;

export function encodeMbap(transactionId: number, unitId: number, request: Request): Uint8Array {
  const pdu = encodeRequest(request);
  const adu = new Uint8Array(headerBytes + pdu.length);
  const length = pdu.length + 1;
  adu.set([transactionId >> 8, transactionId & 0xff, 0, 0, length >> 8, length & 0xff, unitId]);
  adu.set(pdu, headerBytes);
  return adu;
}

export type MbapFrame =
  | { kind: 'frame'; transactionId: number; unitId: number; pdu: Uint8Array; next: number }
  | { kind: 'incomplete' }
  /** No frame can begin here. */
  | { kind: 'damaged' };

/** The frame at `start` of a byte stream. */
export function takeMbapFrame(bytes: Uint8Array, start: number): MbapFrame {
  const word = (offset: number): number => (bytes[start + offset]! << 8) | bytes[start + offset + 1]!;
  const available = bytes.length - start;
  if (available >= 4 && word(2) !== 0) return { kind: 'damaged' };
  if (available < 6) return { kind: 'incomplete' };
  const length = word(4);
  if (length < 2 || length > pduBytesMax + 1) return { kind: 'damaged' };
  const next = start + headerBytes - 1 + length;
  if (next > bytes.length) return { kind: 'incomplete' };
  const pdu = bytes.subarray(start + headerBytes, next);
  return { kind: 'frame', transactionId: word(0), unitId: bytes[start + headerBytes - 1]!, pdu, next };
}
