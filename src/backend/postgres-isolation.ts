import type { Client } from 'pg';
import { MerestoneError } from '../base/error.ts';

/** Ways past the tenants' policy, as PostgreSQL's catalogue tells them to every role. */
interface Ways {
  forced: boolean;
  /** Ours, and as config/postgres.sql writes them. */
  own_policies: number;
  /** Policies that let more rows through: permissive ones are joined by OR. */
  policies: string[] | null;
  /** Views that read as an owner whom no policy holds, and that other roles may read. */
  views: string[] | null;
  with_statistics: boolean;
  unbound: boolean;
}

const waysQuery = `
  WITH RECURSIVE relation AS (
    SELECT to_regclass('merestone.reading')::oid AS id
    UNION
    SELECT rule.ev_class FROM relation
    JOIN pg_depend AS link ON link.refclassid = 'pg_class'::regclass AND link.refobjid = relation.id
      AND link.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS rule ON rule.oid = link.objid
  ), policy AS (
    SELECT tablename, policyname, cmd, permissive,
      policyname IN ('own', 'own_tenant') AND cmd = 'SELECT' AND qual LIKE '%pg_has_role(%'
        AND qual NOT LIKE '% OR %' AND (tablename = 'access' OR qual LIKE '(tenant = ANY (ARRAY(%') AS is_own
    FROM pg_policies WHERE schemaname = 'merestone' AND tablename IN ('access', 'reading')
  )
  SELECT
    (SELECT bool_and(relrowsecurity AND (relforcerowsecurity OR relname = 'access')) FROM pg_class
      WHERE oid IN (to_regclass('merestone.reading'), to_regclass('merestone.access'))) AS forced,
    (SELECT count(*)::int FROM policy WHERE is_own) AS own_policies,
    (SELECT array_agg(policyname || ' ON merestone.' || tablename) FROM policy
      WHERE permissive = 'PERMISSIVE' AND NOT is_own
        AND NOT (tablename = 'reading' AND cmd = 'INSERT')) AS policies,
    (SELECT array_agg(class.oid::regclass::text) FROM relation
      JOIN pg_class AS class ON class.oid = relation.id AND class.relkind IN ('v', 'm')
      JOIN pg_roles AS owner ON owner.oid = class.relowner AND (owner.rolsuper OR owner.rolbypassrls)
      WHERE NOT coalesce(class.reloptions && ARRAY['security_invoker=true', 'security_invoker=on',
          'security_invoker=1', 'security_invoker=yes'], false)
        AND EXISTS (SELECT FROM pg_roles AS role
          WHERE NOT role.rolsuper AND NOT role.rolbypassrls AND role.rolname NOT LIKE 'pg\\_%'
            AND role.oid <> class.relowner AND has_any_column_privilege(role.oid, class.oid, 'SELECT'))) AS views,
    (SELECT bool_or(attstattarget IS DISTINCT FROM 0) FROM pg_attribute
      WHERE attrelid = to_regclass('merestone.reading') AND attnum > 0 AND NOT attisdropped) AS with_statistics,
    (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS unbound`;

/** Whether the table is there. Throws DatabaseRefused where it is and a tenant could see another's rows. */
export async function checkIsolation(client: Client): Promise<boolean> {
  const table = await client.query<{ found: boolean }>(
    "SELECT to_regclass('merestone.reading') IS NOT NULL AS found",
  );
  if (table.rows[0]?.found !== true) return false;
  const { rows } = await client.query<Ways>(waysQuery);
  const fault = faultOf(rows[0]!);
  if (fault === undefined) return true;
  const [message, hint] = fault;
  throw new MerestoneError('DatabaseRefused', message, { hint });
}

function faultOf(ways: Ways): [message: string, hint: string] | undefined {
  if (!ways.forced) {
    const hint = 'run config/postgres.sql, so that no tenant can read another’s rows';
    return ['merestone.reading has no forced row-level security', hint];
  }
  if (ways.policies !== null) {
    const list = ways.policies.join(', ');
    const hint = 'drop it: policies are joined by OR; make further ones AS RESTRICTIVE';
    return [`a policy lets tenants see more than their own rows: ${list}`, hint];
  }
  if (ways.own_policies !== 2 || ways.with_statistics) {
    const hint = 'run config/postgres.sql as the owner of the table; it keeps the rows';
    return ['merestone.reading is not as this version makes it', hint];
  }
  if (ways.views !== null) {
    const hint =
      'ALTER VIEW … SET (security_invoker = true), or REVOKE SELECT on it; a materialized view needs an owner without superuser or BYPASSRLS';
    return [`a view shows the rows of all tenants to other roles: ${ways.views.join(', ')}`, hint];
  }
  if (ways.unbound) {
    const hint = 'give --postgres a role that may insert and nothing else; config/postgres.sql says how';
    return ['this role is a superuser or has BYPASSRLS: no policy holds it', hint];
  }
  return undefined;
}
