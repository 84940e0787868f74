import { MerestoneError } from '../../base/error.ts';

/**
 * Modbus requests and answers without their transport (Modbus V1.1b3). Function codes 1 to 4 read data;
 * 17 and 43/14 identify a device. No other function is implemented: this client cannot write.
 */
export type Request =
  | { functionCode: 1 | 2 | 3 | 4; address: number; quantity: number }
  /** Report Server ID, §6.13. */
  | { functionCode: 17 }
  /** Read Device Identification, §6.21. */
  | { functionCode: 43; readCode: 1 | 2 | 3 | 4; objectId: number };

export const functionCodes = { coil: 1, discrete: 2, holding: 3, input: 4 } as const;

/** §4.1: the largest PDU that fits RS-485's 256-byte ADU. */
export const pduBytesMax = 253;

const meiReadDeviceIdentification = 14;

/** Throws Internal for any other function code, even one forced past the types. */
export function encodeRequest(request: Request): Uint8Array {
  const { functionCode } = request;
  if (functionCode === 17) return Uint8Array.of(17);
  if (functionCode === 43) {
    return Uint8Array.of(43, meiReadDeviceIdentification, request.readCode, request.objectId);
  }
  if (functionCode < 1 || functionCode > 4) {
    throw new MerestoneError('Internal', `function code ${String(functionCode)} is not for reading`);
  }
  const { address, quantity } = request;
  return Uint8Array.of(functionCode, address >> 8, address & 0xff, quantity >> 8, quantity & 0xff);
}

/** Data bytes that the answer to a read of `quantity` carries. */
export function dataBytes(functionCode: 1 | 2 | 3 | 4, quantity: number): number {
  return functionCode <= 2 ? (quantity + 7) >> 3 : quantity * 2;
}

/** Whether `pdu`, which may be cut short, can be the beginning of an answer to `request`. */
export function beginsAnswer(request: Request, pdu: Uint8Array): boolean {
  const [functionCode, second] = pdu;
  if (functionCode === undefined) return true;
  if (functionCode === (request.functionCode | 0x80)) return true;
  if (functionCode !== request.functionCode) return false;
  if (second === undefined || request.functionCode === 17) return true;
  if (request.functionCode === 43) return second === meiReadDeviceIdentification;
  return second === dataBytes(request.functionCode, request.quantity);
}

/**
 * Length in bytes of the answer that begins with `pdu`, which `beginsAnswer` took. Where more bytes are
 * needed to know, the least that it can be, which is more than `pdu` has.
 */
export function answerLength(request: Request, pdu: Uint8Array): number {
  if (pdu[0] === (request.functionCode | 0x80)) return 2;
  if (request.functionCode === 17) return 2 + (pdu[1] ?? 0);
  if (request.functionCode === 43) return deviceIdentificationLength(pdu);
  return 2 + dataBytes(request.functionCode, request.quantity);
}

/** Length of the expected answer, as far as the request tells. */
export function expectedLength(request: Request): number {
  return answerLength(request, Uint8Array.of(request.functionCode));
}

/** §6.21: seven bytes, then objects of id, length and value. */
function deviceIdentificationLength(pdu: Uint8Array): number {
  let length = 7;
  const objects = pdu[6] ?? 0;
  for (let object = 0; object < objects; object += 1) {
    if (length + 2 > pdu.length) return length + 2;
    length += 2 + pdu[length + 1]!;
  }
  return length;
}

export type Answer =
  /** What follows function code and, for 1 to 4 and 17, the byte count. */
  | { kind: 'data'; data: Uint8Array }
  | { kind: 'exception'; exceptionCode: number }
  | { kind: 'fault'; fault: 'wrong-function' | 'wrong-length' };

/** Checks a whole answer PDU against its request: only the right function and the right length make data. */
export function parseAnswer(request: Request, pdu: Uint8Array): Answer {
  if (pdu[0] !== request.functionCode && pdu[0] !== (request.functionCode | 0x80)) {
    return { kind: 'fault', fault: 'wrong-function' };
  }
  if (!beginsAnswer(request, pdu) || pdu.length !== answerLength(request, pdu)) {
    return { kind: 'fault', fault: 'wrong-length' };
  }
  if (pdu[0] !== request.functionCode) return { kind: 'exception', exceptionCode: pdu[1]! };
  return { kind: 'data', data: pdu.subarray(request.functionCode === 43 ? 1 : 2) };
}

/** Describes an answer of the wrong length, and whether it holds less than was asked. */
export function describeWrongLength(request: Request, pdu: Uint8Array): { detail: string; isCut: boolean } {
  if (request.functionCode === 17 || request.functionCode === 43) {
    return { detail: `wrong length: ${pdu.length} bytes are no whole answer`, isCut: false };
  }
  const { functionCode, quantity } = request;
  const came = Math.min(pdu[1] ?? 0, Math.max(0, pdu.length - 2));
  const expected = dataBytes(functionCode, quantity);
  const isCut = came < expected;
  const what =
    functionCode <= 2
      ? `${quantity} bits asked, ${came} bytes came`
      : `${quantity} registers asked, ${came / 2} came`;
  const hint = isCut
    ? "it cuts long answers off; set the device's 'registersMax' or 'bitsMax' to what it gives"
    : came === 2 * expected
      ? 'it sends twice as many bytes for each register as Modbus has; ask its maker for a mode that conforms'
      : 'it does not answer what it is asked; ask its maker';
  return { detail: `wrong length: ${what}; ${hint}`, isCut };
}
