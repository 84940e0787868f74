import { pageBytes } from '../storage/database-schema.ts';

// Rows straight out of page images, without SQLite and without believing a page's header: for files that
// SQLite will not read. Every row read here must authenticate before it counts.
// SQLite file format, sections 1.6 (b-tree pages) and 2.1 (records).

export type Value = null | number | string | Buffer;

/** How a column is stored: `n` nothing (as a row id is), `i` integer, `t` text, `b` blob. */
export type Shape = string;

export interface RawRow {
  rowid: number;
  shape: Shape;
  /** Whether `values` needs other pages than the one that the row was found on. */
  overflows: boolean;
  /** Undefined where a page is missing or a length is impossible. */
  values(pageOf: (number: number) => Buffer | undefined): Value[] | undefined;
}

/** Table leaf, no reserved bytes at the page's end. */
const localMax = pageBytes - 35;
const localMin = Math.floor(((pageBytes - 12) * 32) / 255) - 23;
const overflowBytes = pageBytes - 4;
/** The cell pointers follow the 8 bytes of a leaf's header. */
const pointersAt = 8;
/** No row of ours is longer; what claims to be is no row. */
const rowBytesMax = 64 * 1024 * 1024;

/** Everything on `page` that could be a row. */
export function* rowsOn(page: Buffer): Generator<RawRow> {
  for (let at = pointersAt; at + 2 <= pageBytes; at += 2) {
    const cell = page.readUInt16BE(at);
    if (cell < pointersAt || cell >= pageBytes) return;
    const row = rowAt(page, cell);
    if (row !== undefined) yield row;
  }
}

function rowAt(page: Buffer, cell: number): RawRow | undefined {
  const length = varint(page, cell);
  const rowid = length && varint(page, length.end);
  if (!length || !rowid || length.value > rowBytesMax) return undefined;
  const total = length.value;
  const local = localBytes(total);
  const start = rowid.end;
  const overflows = local < total;
  if (start + local + (overflows ? 4 : 0) > pageBytes) return undefined;
  const types = columnTypes(page.subarray(start, start + local), total);
  if (types === undefined) return undefined;
  return {
    rowid: rowid.value,
    shape: types.codes.map(letterOf).join(''),
    overflows,
    values: (pageOf) => {
      const record = overflows
        ? gather(page, start, local, total, pageOf)
        : page.subarray(start, start + total);
      return record && decode(record.subarray(types.headerBytes), types.codes);
    },
  };
}

/** How much of a row of this many bytes is on its leaf page. */
function localBytes(total: number): number {
  if (total <= localMax) return total;
  const wanted = localMin + ((total - localMin) % overflowBytes);
  return wanted <= localMax ? wanted : localMin;
}

/** Follows the chain of overflow pages, which is as long as the row says, loops or not. */
function gather(
  page: Buffer,
  start: number,
  local: number,
  total: number,
  pageOf: (number: number) => Buffer | undefined,
): Buffer | undefined {
  const parts = [page.subarray(start, start + local)];
  let next = page.readUInt32BE(start + local);
  for (let left = total - local; left > 0; left -= overflowBytes) {
    const overflow = pageOf(next);
    if (overflow === undefined) return undefined;
    parts.push(overflow.subarray(4, 4 + Math.min(left, overflowBytes)));
    next = overflow.readUInt32BE(0);
  }
  return Buffer.concat(parts);
}

/** The column types of a record whose sizes add up; undefined if it is not a record. */
function columnTypes(local: Buffer, total: number): { codes: number[]; headerBytes: number } | undefined {
  const header = varint(local, 0);
  if (!header || header.value > local.length) return undefined;
  const codes: number[] = [];
  let body = 0;
  let at = header.end;
  while (at < header.value) {
    const code = varint(local, at);
    if (!code) return undefined;
    codes.push(code.value);
    body += sizeOfType(code.value);
    at = code.end;
  }
  return at === header.value && header.value + body === total
    ? { codes, headerBytes: header.value }
    : undefined;
}

const integerBytes = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];

function sizeOfType(code: number): number {
  return code < 12 ? (integerBytes[code] ?? 0) : Math.floor((code - 12) / 2);
}

function letterOf(code: number): string {
  if (code === 0) return 'n';
  if (code < 12) return 'i';
  return code % 2 === 0 ? 'b' : 't';
}

function decode(body: Buffer, codes: readonly number[]): Value[] {
  let at = 0;
  return codes.map((code) => {
    const bytes = body.subarray(at, at + sizeOfType(code));
    at += bytes.length;
    return decodeColumn(bytes, code);
  });
}

function decodeColumn(bytes: Buffer, code: number): Value {
  if (code === 0) return null;
  if (code === 8 || code === 9) return code - 8;
  if (code === 6) return Number(bytes.readBigInt64BE());
  if (code < 6) return bytes.readIntBE(0, bytes.length);
  if (code < 12) return bytes.readDoubleBE();
  return code % 2 === 0 ? Buffer.from(bytes) : bytes.toString('utf8');
}

/** Big-endian, seven bits a byte, all eight of the ninth; undefined past the end or past 2^53. */
function varint(bytes: Buffer, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 9; index += 1) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    value = index === 8 ? value * 256 + byte : value * 128 + (byte & 0x7f);
    if (index === 8 || byte < 0x80) {
      return Number.isSafeInteger(value) ? { value, end: at + index + 1 } : undefined;
    }
  }
  return undefined;
}
