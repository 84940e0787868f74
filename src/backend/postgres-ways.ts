/** A way past the tenants' policy, as PostgreSQL's catalogue tells it to every role. */
export interface Way {
  /** As docs/backend.md lists it. */
  name: string;
  /** A SELECT of one column of text, over the relations of `catalogue`: what is found, one line each. */
  finds: string;
  /** Said before what was found. */
  message: string;
  /** What to do. */
  hint: string;
}

/**
 * What the ways are looked for in. `kin`: the table, its partitions, children and parents, whose own grants and
 * statistics count. `derived`: they, and views over them. `beyond`: roles that no policy holds. `tenant`: roles of
 * tenants. `accepted`: objects whose comment says that they may show all tenants.
 */
export const catalogue = `
  WITH RECURSIVE kin AS (
    SELECT 'merestone.reading'::regclass::oid AS id
    UNION
    SELECT CASE WHEN link.inhrelid = kin.id THEN link.inhparent ELSE link.inhrelid END
    FROM kin JOIN pg_inherits AS link ON kin.id IN (link.inhrelid, link.inhparent)
  ), derived AS (
    SELECT id FROM kin
    UNION
    SELECT rule.ev_class FROM derived
    JOIN pg_depend AS link ON link.refclassid = 'pg_class'::regclass AND link.refobjid = derived.id
      AND link.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS rule ON rule.oid = link.objid
  ), guarded AS (
    SELECT class.* FROM pg_class AS class
    WHERE oid IN (SELECT id FROM kin) OR oid = 'merestone.access'::regclass
  ), granted AS (
    SELECT guarded.oid, guarded.relowner, acl.grantee, acl.privilege_type
    FROM guarded, aclexplode(guarded.relacl) AS acl
    UNION
    SELECT guarded.oid, guarded.relowner, acl.grantee, acl.privilege_type
    FROM guarded JOIN pg_attribute AS attribute ON attribute.attrelid = guarded.oid, aclexplode(attribute.attacl) AS acl
  ), beyond AS (
    SELECT oid FROM pg_roles WHERE rolsuper OR rolbypassrls
  ), ordinary AS (
    SELECT oid FROM pg_roles WHERE NOT rolsuper AND NOT rolbypassrls AND rolname NOT LIKE 'pg\\_%'
  ), tenant AS (
    SELECT DISTINCT pg_roles.oid, rolname, rolsuper FROM merestone.access JOIN pg_roles ON pg_roles.oid = access.role
  ), accepted AS (
    SELECT classoid, objoid FROM pg_description WHERE objsubid = 0 AND description LIKE 'all tenants:%'
  ), policy AS (
    SELECT tablename, policyname, cmd, permissive,
      cmd = 'SELECT' AND qual NOT LIKE '% OR %' AND CASE
        WHEN tablename = 'reading' THEN policyname = 'own_tenant' AND qual LIKE '(tenant = ANY (ARRAY(%pg_has_role(%'
        WHEN policyname = 'own' THEN qual LIKE '%pg_has_role(%'
        ELSE policyname = 'consumer' AND qual LIKE 'has_table_privilege(%INSERT%'
      END AS is_own
    FROM pg_policies WHERE schemaname = 'merestone' AND tablename IN ('access', 'reading')
  )`;

const accept = (kind: string): string =>
  `where all tenants’ rows may be seen by it: COMMENT ON ${kind} IS 'all tenants: why'`;

const asMade = 'run config/postgres.sql as the owner of the table; it keeps the rows';

/** In the order in which they are best mended. */
export const ways: readonly Way[] = [
  {
    name: 'row security',
    finds: `SELECT oid::regclass::text FROM guarded
      WHERE oid IN ('merestone.reading'::regclass, 'merestone.access'::regclass)
        AND NOT (relrowsecurity AND (relforcerowsecurity OR relname = 'access'))`,
    message: 'no forced row-level security on',
    hint: 'run config/postgres.sql, so that no tenant can read another’s rows',
  },
  {
    name: 'policies',
    finds: `SELECT policyname || ' ON merestone.' || tablename FROM policy
      WHERE permissive = 'PERMISSIVE' AND NOT is_own AND NOT (tablename = 'reading' AND cmd = 'INSERT')`,
    message: 'a policy lets tenants see more than their own rows:',
    hint: 'drop it: policies are joined by OR; make further ones AS RESTRICTIVE',
  },
  {
    name: 'own policies',
    finds: `SELECT 'its policies' FROM policy HAVING count(*) FILTER (WHERE is_own) <> 3`,
    message: 'merestone.reading is not as this version makes it:',
    hint: asMade,
  },
  {
    name: 'statistics',
    finds: `SELECT DISTINCT 'statistics of ' || attrelid::regclass::text FROM pg_attribute AS attribute
      LEFT JOIN pg_index AS index ON index.indexrelid = attrelid
      WHERE attnum > 0 AND NOT attisdropped AND attstattarget IS DISTINCT FROM 0
        AND (attrelid IN (SELECT id FROM kin)
          OR index.indrelid IN (SELECT id FROM kin) AND index.indkey[attnum - 1] = 0)
      UNION SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxrelid IN (SELECT id FROM kin)`,
    message: 'merestone.reading is not as this version makes it (EXPLAIN tells of all tenants’ rows):',
    hint: asMade,
  },
  {
    name: 'rights',
    finds: `SELECT privilege_type || ' ON ' || oid::regclass || ' TO ' ||
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
      FROM granted WHERE grantee <> relowner AND grantee NOT IN (SELECT oid FROM beyond)
        AND (privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES')
          OR oid NOT IN ('merestone.reading'::regclass, 'merestone.access'::regclass))
      UNION SELECT oid::regclass || ' OWNED BY ' || relowner::regrole FROM guarded
      WHERE relowner NOT IN (SELECT oid FROM beyond)
        AND relowner <> (SELECT relowner FROM pg_class WHERE oid = 'merestone.reading'::regclass)`,
    message: 'a right that no policy holds:',
    hint: 'revoke it: policies hold SELECT and INSERT on merestone.reading, and nothing on its partitions and parents',
  },
  {
    name: 'tenants’ roles',
    finds: `SELECT tenant.rolname || CASE WHEN role.oid = tenant.oid THEN '' ELSE ' (as ' || role.rolname || ')' END
      FROM tenant JOIN pg_roles AS role ON pg_has_role(tenant.oid, role.oid, 'MEMBER')
      WHERE (role.oid = tenant.oid OR NOT tenant.rolsuper)
        AND (role.rolsuper OR role.rolbypassrls OR role.rolreplication OR role.rolcreaterole
          OR role.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
          OR role.oid IN (SELECT relowner FROM guarded)
          OR has_any_column_privilege(role.oid, 'merestone.reading', 'INSERT'))`,
    message: 'a tenant’s role can do more than read its own rows:',
    hint: 'give tenants roles of their own: none with SUPERUSER, BYPASSRLS, REPLICATION or CREATEROLE, no owner, no right to insert or to the server’s files, nor a member of such a role',
  },
  {
    name: 'views',
    finds: `SELECT class.oid::regclass::text FROM derived
      JOIN pg_class AS class ON class.oid = derived.id AND class.relkind IN ('v', 'm')
      WHERE class.relowner IN (SELECT oid FROM beyond)
        AND NOT coalesce(class.reloptions && ARRAY['security_invoker=true', 'security_invoker=on',
          'security_invoker=1', 'security_invoker=yes'], false)
        AND EXISTS (SELECT FROM ordinary WHERE has_any_column_privilege(ordinary.oid, class.oid, 'SELECT'))
        AND NOT EXISTS (SELECT FROM accepted WHERE classoid = 'pg_class'::regclass AND objoid = class.oid)`,
    message: 'a view shows the rows of all tenants to other roles:',
    hint: `ALTER VIEW … SET (security_invoker = true), or REVOKE SELECT on it; a materialized view needs an owner without superuser or BYPASSRLS; ${accept('VIEW …')}`,
  },
  {
    name: 'functions',
    finds: `SELECT function.oid::regprocedure::text FROM pg_proc AS function
      WHERE prosecdef AND proowner IN (SELECT oid FROM beyond)
        AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
        AND (prosrc || coalesce(proconfig::text, '') ~* '\\mmerestone\\M'
          OR EXISTS (SELECT FROM derived JOIN pg_class AS class ON class.oid = derived.id
            WHERE prosrc ~* ('\\m' || regexp_replace(class.relname, '\\W', '.', 'g') || '\\M'))
          OR EXISTS (SELECT FROM derived JOIN pg_depend AS link ON link.classid = 'pg_proc'::regclass
            AND link.objid = function.oid AND link.refclassid = 'pg_class'::regclass AND link.refobjid = derived.id))
        AND EXISTS (SELECT FROM ordinary WHERE has_function_privilege(ordinary.oid, function.oid, 'EXECUTE'))
        AND NOT EXISTS (SELECT FROM accepted WHERE classoid = 'pg_proc'::regclass AND objoid = function.oid)`,
    message: 'a function reads as its owner, whom no policy holds:',
    hint: `make it SECURITY INVOKER, or REVOKE EXECUTE on it (from PUBLIC too); ${accept('FUNCTION …')}`,
  },
  {
    name: 'triggers',
    finds: `SELECT tgname || ' ON ' || tgrelid::regclass FROM pg_trigger AS trigger
      WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM guarded)
        AND NOT EXISTS (SELECT FROM accepted WHERE classoid = 'pg_trigger'::regclass AND objoid = trigger.oid)`,
    message: 'a trigger may copy rows to where no policy is:',
    hint: `drop it; ${accept('TRIGGER …')}`,
  },
  {
    name: 'rules',
    finds: `SELECT rulename || ' ON ' || ev_class::regclass FROM pg_rewrite AS rule
      WHERE ev_class IN (SELECT oid FROM guarded)
        AND NOT EXISTS (SELECT FROM accepted WHERE classoid = 'pg_rewrite'::regclass AND objoid = rule.oid)`,
    message: 'a rule may copy rows to where no policy is:',
    hint: `drop it; ${accept('RULE …')}`,
  },
  {
    name: 'publications',
    finds: `SELECT DISTINCT publication.pubname::text FROM pg_publication_tables AS publication
      JOIN guarded ON guarded.relname = publication.tablename
        AND guarded.relnamespace = quote_ident(publication.schemaname)::regnamespace
      WHERE NOT EXISTS (SELECT FROM accepted JOIN pg_publication ON pg_publication.oid = objoid
        WHERE classoid = 'pg_publication'::regclass AND pg_publication.pubname = publication.pubname)`,
    message: 'a publication sends the rows of all tenants to its subscribers:',
    hint: `take the table out of it; ${accept('PUBLICATION …')}`,
  },
  {
    name: 'foreign tables',
    finds: `SELECT class.oid::regclass::text FROM pg_foreign_table AS foreign_table
      JOIN pg_class AS class ON class.oid = foreign_table.ftrelid
      WHERE (class.oid IN (SELECT id FROM kin)
          OR coalesce((SELECT substr(option, 12) FROM unnest(ftoptions) AS option
            WHERE option LIKE 'table\\_name=%'), class.relname::text) IN ('reading', 'access'))
        AND EXISTS (SELECT FROM ordinary WHERE has_any_column_privilege(ordinary.oid, class.oid, 'SELECT'))
        AND NOT EXISTS (SELECT FROM accepted WHERE classoid = 'pg_class'::regclass AND objoid = class.oid)`,
    message: 'a foreign table reads as the user of its server:',
    hint: `REVOKE SELECT on it; ${accept('FOREIGN TABLE …')}`,
  },
  {
    name: 'own role',
    finds: `SELECT current_user || CASE WHEN oid = current_user::regrole THEN '' ELSE ' (as ' || oid::regrole || ')' END
      FROM beyond WHERE pg_has_role(current_user, oid, 'MEMBER')
        AND (oid = current_user::regrole OR NOT EXISTS (SELECT FROM beyond WHERE oid = current_user::regrole))`,
    message: 'this role is a superuser or has BYPASSRLS: no policy holds it:',
    hint: 'give --postgres a role that may insert and nothing else; config/postgres.sql says how',
  },
];
