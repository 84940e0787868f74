import type { ModbusUnit } from '../../src/simulator/register-image.ts';
import { readTranscript } from './transcript.ts';
import { randomFrom } from './random.ts';

/** The answer for a register that no transcript has. */
export type Elsewhere = 'exception' | 'zero' | 'random';

/**
 * The registers of a built-in profile's device as its golden transcript has them. A register that was read alone is
 * answered only to such a read: the device may answer differently in a larger read.
 */
export class GoldenImage implements ModbusUnit {
  readonly #registers = new Map<string, number>();
  readonly #alone = new Map<string, number>();
  readonly #elsewhere: Elsewhere;
  readonly #random: () => number;

  constructor(profile: string, isTcp: boolean, elsewhere: Elsewhere = 'exception', random = randomFrom(1)) {
    this.#elsewhere = elsewhere;
    this.#random = random;
    for (const { request, answer } of exchangesOf(profile, isTcp)) {
      if (answer[0] !== request[0]) continue;
      const [functionCode, quantity] = [request[0]!, request.readUInt16BE(3)];
      for (let index = 0; index < quantity; index += 1) {
        const key = `${functionCode} ${request.readUInt16BE(1) + index}`;
        (quantity === 1 ? this.#alone : this.#registers).set(key, answer.readUInt16BE(2 + 2 * index));
      }
    }
  }

  answer(request: Uint8Array): Buffer {
    const pdu = Buffer.from(request);
    const functionCode = pdu[0]!;
    if ((functionCode !== 3 && functionCode !== 4) || pdu.length !== 5)
      return Buffer.of(functionCode | 0x80, 1);
    const [address, quantity] = [pdu.readUInt16BE(1), pdu.readUInt16BE(3)];
    const answer = Buffer.alloc(2 + 2 * quantity);
    answer[0] = functionCode;
    answer[1] = 2 * quantity;
    for (let index = 0; index < quantity; index += 1) {
      const key = `${functionCode} ${address + index}`;
      const own = (quantity === 1 ? this.#alone.get(key) : undefined) ?? this.#registers.get(key);
      const value = own ?? this.#filling();
      if (value === undefined) return Buffer.of(functionCode | 0x80, 2);
      answer.writeUInt16BE(value, 2 + 2 * index);
    }
    return answer;
  }

  #filling(): number | undefined {
    if (this.#elsewhere === 'exception') return undefined;
    return this.#elsewhere === 'zero' ? 0 : Math.floor(this.#random() * 65_536);
  }
}

/** Requests and answers as PDUs. */
function exchangesOf(profile: string, isTcp: boolean): { request: Buffer; answer: Buffer }[] {
  const exchanges: { request: Buffer; answer: Buffer }[] = [];
  for (const { kind, bytes } of readTranscript(`${profile}.txt`).steps) {
    const last = exchanges.at(-1);
    if (kind === 'send') last!.answer = Buffer.concat([last!.answer, bytes]);
    else if (last !== undefined && last.answer.length === 0)
      last.request = Buffer.concat([last.request, bytes]);
    else exchanges.push({ request: bytes, answer: Buffer.alloc(0) });
  }
  const pdu = (adu: Buffer): Buffer => (isTcp ? adu.subarray(7) : adu.subarray(1, -2));
  return exchanges.map(({ request, answer }) => ({ request: pdu(request), answer: pdu(answer) }));
}
