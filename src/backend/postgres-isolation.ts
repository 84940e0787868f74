import type { Client } from 'pg';
import { MerestoneError } from '../base/error.ts';
import { catalogue, ways } from './postgres-ways.ts';

/** As config/postgres.sql writes it into the table's comment, where it could do all of its work. */
const versionPattern = /^Merestone's readings, version 2\b/;

/** Whether the table is there. Throws DatabaseRefused where it is and a tenant could see another's rows. */
export async function checkIsolation(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ version: string | null }>(
    `SELECT obj_description(reading, 'pg_class') AS version FROM to_regclass('merestone.reading') AS reading
     WHERE reading IS NOT NULL`,
  );
  const [table] = rows;
  if (table === undefined) return false;
  if (!versionPattern.test(table.version ?? '')) {
    throw new MerestoneError('DatabaseRefused', 'merestone.reading is not as this version makes it', {
      hint: 'run config/postgres.sql as the owner of the table, and heed its warnings; it keeps the rows',
    });
  }
  const found = await waysOf(client);
  if (found.length === 0) return true;
  const message = found.map(({ way, names }) => `${ways[way]!.message} ${names.join(', ')}`).join('; ');
  const hint = [...new Set(found.map(({ way }) => ways[way]!.hint))].join('; ');
  throw new MerestoneError('DatabaseRefused', message, { hint });
}

async function waysOf(client: Client): Promise<{ way: number; names: string[] }[]> {
  const each = ways.map(({ finds }, index) => `SELECT ${index} AS way, name FROM (${finds}) AS found (name)`);
  const { rows } = await client.query<{ way: number; names: string[] }>(
    `${catalogue} SELECT way, array_agg(name ORDER BY name) AS names FROM (${each.join(' UNION ALL ')}) AS all_ways
     GROUP BY way ORDER BY way`,
  );
  return rows;
}
