import { Client } from 'pg';
import { MerestoneError } from '../../base/error.ts';
import type { Row } from '../row.ts';
import { checkedUrl } from '../postgres-url.ts';
import type { KeptRow } from './kept-row.ts';

/** Rows that are fetched at once. */
const fetchedMax = 5000;
const connectTimeoutMs = 10_000;

interface Found {
  gateway: string;
  epoch: string;
  seq: string;
  device: string;
  point: string;
  microseconds: string;
  value: number | null;
  value_text: string | null;
  value_flag: boolean | null;
  unit: string | null;
  quality: Row['quality'];
  estimated: boolean;
}

const declare = `
  DECLARE kept NO SCROLL CURSOR FOR
  SELECT gateway, epoch, seq, device, point, round(extract(epoch FROM time) * 1000000)::bigint AS microseconds,
         value, value_text, value_flag, unit, quality, estimated
  FROM merestone.reading WHERE tenant = $1 ORDER BY gateway, epoch, seq, place`;

/** A tenant's rows in the table of config/postgres.sql, as they are at one moment. Throws Usage, DatabaseRefused. */
export async function* postgresRows(url: string, tenant: string): AsyncGenerator<KeptRow> {
  const client = new Client({
    connectionString: checkedUrl(url),
    connectionTimeoutMillis: connectTimeoutMs,
  });
  // What was lost is found by the next question.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await client.query(declare, [tenant]);
    for (let rows: Found[] | undefined; rows === undefined || rows.length > 0; ) {
      rows = (await client.query<Found>(`FETCH ${fetchedMax} FROM kept`)).rows;
      for (const row of rows) yield keptRow(tenant, row);
    }
  } catch (cause) {
    if (cause instanceof MerestoneError) throw cause;
    throw new MerestoneError('DatabaseRefused', `PostgreSQL: ${(cause as Error).message}`, {
      hint: 'check --postgres, and that its role may read the tenant’s rows',
      cause,
    });
  } finally {
    await client.end().catch(() => {});
  }
}

function keptRow(tenant: string, found: Found): KeptRow {
  const { gateway, epoch, seq, device, point, microseconds, unit, quality, estimated } = found;
  const values = [found.value, found.value_text, found.value_flag].filter((value) => value !== null);
  const ms = Number(microseconds) / 1000;
  return {
    tenant,
    gateway,
    epoch,
    seq: Number(seq),
    device,
    point,
    unit,
    quality,
    ts: Number.isInteger(ms) && values.length <= 1 ? ms : NaN,
    value: values[0] ?? null,
    ...(estimated && { clock: 'estimated' as const }),
  };
}
