import type { BatchRow, EntryRow, KeyRow, LedgerRow } from '../storage/database-schema.ts';
import type { RawRow, Value } from './page-reader.ts';

// What the tables of config-schema.ts look like as raw records. A row id stands outside of the record.

type Pages = (number: number) => Buffer | undefined;

const isBatchShape = /^nti{4}bbb$/;

export function asLedger(row: RawRow, pages: Pages): LedgerRow | undefined {
  const values = row.shape === 'nitb' && row.rowid === 1 ? row.values(pages) : undefined;
  if (values === undefined) return undefined;
  const [, key, body, seal] = values as [null, number, string, Buffer];
  return { key, body, seal };
}

export function asKey(row: RawRow, pages: Pages): KeyRow | undefined {
  const values = row.shape === 'nttii' ? row.values(pages) : undefined;
  if (values === undefined) return undefined;
  const [, kek, jwe, since, first] = values as [null, string, string, number, number];
  return { id: row.rowid, kek, jwe, since, first };
}

export function asBatch(row: RawRow, pages: Pages): BatchRow | undefined {
  const values = isBatchShape.test(row.shape) ? row.values(pages) : undefined;
  if (values === undefined) return undefined;
  const [, epoch, key, samples, from_ms, to_ms, chain_before, chain_after, sealed] = values as [
    Value,
    string,
    number,
    number,
    number,
    number,
    Buffer,
    Buffer,
    Buffer,
  ];
  return { position: row.rowid, epoch, key, samples, from_ms, to_ms, chain_before, chain_after, sealed };
}

export function asEntry(row: RawRow, pages: Pages): EntryRow | undefined {
  const values = row.shape === 'nib' ? row.values(pages) : undefined;
  if (values === undefined) return undefined;
  const [, key, sealed] = values as [null, number, Buffer];
  return { number: row.rowid, key, sealed };
}
