/** Modbus frames made and checked apart from the code under test. */

/** Bit by bit, as Modbus over serial line V1.02 §6.2.2 describes it. */
export function bitwiseCrc(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  }
  return crc;
}

export function rtuFrame(unitId: number, ...pdu: number[]): Uint8Array {
  const body = Uint8Array.of(unitId, ...pdu);
  const crc = bitwiseCrc(body);
  return Uint8Array.of(...body, crc & 0xff, crc >> 8);
}

export function mbapFrame(transactionId: number, unitId: number, ...pdu: number[]): Uint8Array {
  const length = pdu.length + 1;
  const header = [transactionId >> 8, transactionId & 0xff, 0, 0, length >> 8, length & 0xff, unitId];
  return Uint8Array.of(...header, ...pdu);
}

/** Applies one to three of the faults that lines, adapters and bad gateways cause in a frame. */
export function mutate(frame: Uint8Array, random: () => number): Uint8Array {
  let bytes = [...frame];
  const below = (count: number): number => Math.floor(random() * count);
  for (let times = 1 + below(3); times > 0; times -= 1) {
    const at = below(bytes.length);
    switch (below(8)) {
      case 0:
        bytes[at]! ^= 1 << below(8);
        break;
      case 1:
        bytes[at] = below(256);
        break;
      case 2:
        bytes.splice(at, 1 + below(4));
        break;
      case 3:
        bytes.splice(at, 0, ...Array.from({ length: 1 + below(6) }, () => below(256)));
        break;
      case 4:
        bytes = bytes.slice(0, at);
        break;
      case 5:
        bytes = [...Array.from({ length: 1 + below(12) }, () => below(256)), ...bytes];
        break;
      case 6:
        bytes = [...bytes, ...bytes.slice(at)];
        break;
      default:
        [bytes[0], bytes[at]] = [bytes[at] ?? 0, bytes[0] ?? 0];
    }
  }
  return Uint8Array.from(bytes);
}
