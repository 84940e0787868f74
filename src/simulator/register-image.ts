/** The four tables by the function code that reads them (Modbus V1.1b3 §6.1 to §6.4). */
const functionCodes = { coil: 1, discrete: 2, holding: 3, input: 4 } as const;
export type Table = keyof typeof functionCodes;

const tableByFunctionCode = new Map<number, Table>(
  (Object.keys(functionCodes) as Table[]).map((table) => [functionCodes[table], table]),
);

/** Exception codes (Modbus V1.1b3 §7). */
const illegalFunction = 1;
const illegalDataAddress = 2;
const illegalDataValue = 3;

/** Most registers and bits that one answer may carry (§6.3, §6.1). */
const registersMax = 125;
const bitsMax = 2000;

/** Answers requests under one unit id. */
export interface ModbusUnit {
  /** The answer to a request, both as PDUs: function code first, no unit id and no check sum. */
  answer(request: Uint8Array): Buffer;
}

/** A run of neighbouring cells: two bytes a register, big-endian as in a frame; one byte (0 or 1) a bit. */
interface Block {
  address: number;
  count: number;
  bytes: Buffer;
}

/**
 * The memory of one Modbus unit on any line. An address that was never defined is
 * answered with exception 2, as real devices do, so that a wrong map shows.
 */
export class RegisterImage implements ModbusUnit {
  readonly #blocks: Record<Table, Block[]> = { coil: [], discrete: [], holding: [], input: [] };

  /** Makes `count` cells from `address` on readable, all zero; blocks of one table must not overlap or touch. */
  define(table: Table, address: number, count: number): void {
    const bytes = Buffer.alloc(isBits(table) ? count : count * 2);
    this.#blocks[table].push({ address, count, bytes });
  }

  setBit(table: 'coil' | 'discrete', address: number, value: boolean): void {
    const block = this.#blockOf(table, address, 1);
    block.bytes[address - block.address] = value ? 1 : 0;
  }

  /** Writes whole registers, given as bytes in the order of a frame. */
  setRegisters(table: 'holding' | 'input', address: number, bytes: Uint8Array): void {
    const block = this.#blockOf(table, address, bytes.length / 2);
    block.bytes.set(bytes, (address - block.address) * 2);
  }

  setInt16(table: 'holding' | 'input', address: number, value: number): void {
    const block = this.#blockOf(table, address, 1);
    block.bytes.writeInt16BE(value, (address - block.address) * 2);
  }

  /** Big-endian, high word first. */
  setFloat32(table: 'holding' | 'input', address: number, value: number): void {
    const block = this.#blockOf(table, address, 2);
    block.bytes.writeFloatBE(value, (address - block.address) * 2);
  }

  /** Reads only; any other request is answered with exception 1. */
  answer(request: Uint8Array): Buffer {
    const functionCode = request[0] ?? 0;
    const table = tableByFunctionCode.get(functionCode);
    if (table === undefined || request.length !== 5) return exception(functionCode, illegalFunction);
    const address = (request[1]! << 8) | request[2]!;
    const count = (request[3]! << 8) | request[4]!;
    if (count < 1 || count > (isBits(table) ? bitsMax : registersMax)) {
      return exception(functionCode, illegalDataValue);
    }
    const block = this.#find(table, address, count);
    if (block === undefined) return exception(functionCode, illegalDataAddress);
    const offset = address - block.address;
    return isBits(table)
      ? packBits(functionCode, block, offset, count)
      : copy(functionCode, block, offset, count);
  }

  #find(table: Table, address: number, count: number): Block | undefined {
    return this.#blocks[table].find(
      (block) => address >= block.address && address + count <= block.address + block.count,
    );
  }

  #blockOf(table: Table, address: number, count: number): Block {
    const block = this.#find(table, address, count);
    if (block === undefined)
      throw new RangeError(`${table} ${address} to ${address + count - 1} is not defined`);
    return block;
  }
}

function isBits(table: Table): boolean {
  return table === 'coil' || table === 'discrete';
}

function exception(functionCode: number, code: number): Buffer {
  return Buffer.of(functionCode | 0x80, code);
}

function copy(functionCode: number, block: Block, offset: number, count: number): Buffer {
  const answer = Buffer.allocUnsafe(2 + count * 2);
  answer[0] = functionCode;
  answer[1] = count * 2;
  block.bytes.copy(answer, 2, offset * 2, (offset + count) * 2);
  return answer;
}

/** The first bit asked for is the least significant of the first byte (§6.1). */
function packBits(functionCode: number, block: Block, offset: number, count: number): Buffer {
  const answer = Buffer.alloc(2 + Math.ceil(count / 8));
  answer[0] = functionCode;
  answer[1] = answer.length - 2;
  for (let bit = 0; bit < count; bit += 1) {
    if (block.bytes[offset + bit] === 1) answer[2 + (bit >> 3)]! |= 1 << (bit & 7);
  }
  return answer;
}
