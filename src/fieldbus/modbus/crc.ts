/** CRC-16 of Modbus over serial line V1.02 §6.2.2: polynomial 0xA001 reflected, initial 0xFFFF. */
const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  return crc;
});

/** Over bytes `from` to `to` (exclusive); goes onto the line low byte first. */
export function crc16(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let crc = 0xffff;
  for (let at = from; at < to; at += 1) crc = (crc >> 8) ^ table[(crc ^ bytes[at]!) & 0xff]!;
  return crc;
}
