-- Readings of all tenants in one table, each tenant's rows behind row-level security (PostgreSQL 13 and up).
-- `merestone consume --postgres` runs this where the table is missing and its role may; else an
-- administrator runs it once: psql -v ON_ERROR_STOP=1 -f postgres.sql DATABASE
--
-- Then, for the consumer, which may add and not read:
--   CREATE ROLE merestone_writer LOGIN PASSWORD '…';
--   GRANT USAGE ON SCHEMA merestone TO merestone_writer;
--   GRANT INSERT ON merestone.reading TO merestone_writer;
-- and for each program of a tenant, which may read that tenant's rows and nothing else (a group's members
-- read what the group may):
--   CREATE ROLE acme_app LOGIN PASSWORD '…';
--   GRANT USAGE ON SCHEMA merestone TO acme_app;
--   GRANT SELECT ON merestone.reading TO acme_app;
--   INSERT INTO merestone.access (role, tenant) VALUES ('acme_app', 'acme');
-- The consumer refuses a table that has a way past this: see the table in docs/backend.md.

BEGIN;

CREATE SCHEMA IF NOT EXISTS merestone;

-- Who sees whose rows. A role comes out of PostgreSQL's own authentication: a session can neither set
-- nor claim it, as it could a setting. It is kept by its oid: a role that is made again has no access.
CREATE TABLE IF NOT EXISTS merestone.access (
  role   regrole NOT NULL,
  tenant text NOT NULL,
  PRIMARY KEY (role, tenant)
);

CREATE TABLE IF NOT EXISTS merestone.reading (
  tenant     text        NOT NULL,
  gateway    text        NOT NULL,
  epoch      text        NOT NULL,
  seq        bigint      NOT NULL,
  -- Place of the row in its batch, from 0: a batch that comes again finds its rows there.
  place      integer     NOT NULL,
  device     text        NOT NULL,
  point      text        NOT NULL,
  time       timestamptz NOT NULL,
  -- Of these three at most one: none where the point was not read.
  value      double precision,
  value_text text,
  value_flag boolean,
  unit       text,
  quality    text        NOT NULL,
  -- True where the gateway could never make sure of its clock.
  estimated  boolean     NOT NULL,
  PRIMARY KEY (tenant, gateway, epoch, seq, place)
);

CREATE INDEX IF NOT EXISTS reading_by_time ON merestone.reading (tenant, gateway, device, point, time);

ALTER TABLE merestone.access ENABLE ROW LEVEL SECURITY;
ALTER TABLE merestone.reading ENABLE ROW LEVEL SECURITY;
-- The owner too: only a superuser or a role with BYPASSRLS reads or deletes across tenants.
ALTER TABLE merestone.reading FORCE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own ON merestone.access;
DROP POLICY IF EXISTS own_tenant ON merestone.reading;
-- A table of an earlier version has names here.
ALTER TABLE merestone.access ALTER COLUMN role TYPE regrole USING role::text::regrole;

-- The planner's estimates are made of all tenants' rows, and EXPLAIN shows them to each: without statistics it
-- has nothing to show. What ANALYZE gathered under an earlier version goes as well; so do the rows' copies of it
-- in partitions, children and indexes.
DO $$
DECLARE
  kin oid[];
  item record;
  remain text;
BEGIN
  WITH RECURSIVE related AS (
    SELECT 'merestone.reading'::regclass::oid AS id
    UNION SELECT inhrelid FROM related JOIN pg_inherits ON inhparent = related.id
  ) SELECT array_agg(id) INTO kin FROM related;
  FOR item IN SELECT stxnamespace::regnamespace AS space, stxname FROM pg_statistic_ext WHERE stxrelid = ANY (kin)
  LOOP
    EXECUTE format('DROP STATISTICS %s.%I', item.space, item.stxname);
  END LOOP;
  IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    DELETE FROM pg_statistic WHERE starelid = ANY (kin)
      OR starelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ANY (kin));
  ELSE
    -- A column that is given its own type loses its statistics and keeps its values where they are.
    FOR item IN SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute
      WHERE attrelid = 'merestone.reading'::regclass AND attnum > 0 AND NOT attisdropped
    LOOP
      BEGIN
        EXECUTE format('ALTER TABLE merestone.reading ALTER COLUMN %I TYPE %s', item.attname, item.type);
      EXCEPTION WHEN feature_not_supported OR invalid_table_definition THEN
        remain := concat_ws(', ', remain, item.attname);
        RAISE WARNING 'statistics of %: %', item.attname, SQLERRM;
      END;
    END LOOP;
  END IF;
  FOR item IN SELECT attrelid::regclass AS relation, attname FROM pg_attribute
    WHERE attrelid = ANY (kin) AND attnum > 0 AND NOT attisdropped
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', item.relation, item.attname);
  END LOOP;
  FOR item IN SELECT attrelid::regclass AS relation, attnum FROM pg_attribute
    JOIN pg_index ON indexrelid = attrelid AND indrelid = ANY (kin) WHERE attnum > 0 AND indkey[attnum - 1] = 0
  LOOP
    EXECUTE format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS 0', item.relation, item.attnum);
  END LOOP;
  IF remain IS NULL THEN
    COMMENT ON TABLE merestone.reading IS
      'Merestone''s readings, version 2: one row a value, each tenant''s for its own roles';
  ELSE
    RAISE WARNING 'EXPLAIN still tells of all tenants'' rows by %: drop the views over the table and run this '
      'again, or run it as a superuser', remain;
  END IF;
END $$;

-- Whoever is granted INSERT on the readings is trusted to know the tenants: it is the consumer, which verified
-- them, and which looks whether one of their roles has a way around the policies.
DROP POLICY IF EXISTS consumer ON merestone.access;
CREATE POLICY consumer ON merestone.access FOR SELECT USING (has_table_privilege('merestone.reading', 'INSERT'));
CREATE POLICY own ON merestone.access FOR SELECT USING (pg_has_role(current_user, role, 'USAGE'));
GRANT SELECT ON merestone.access TO PUBLIC;

-- As an array, which is worked out once a query, so that the index is used.
CREATE POLICY own_tenant ON merestone.reading FOR SELECT
  USING (tenant = ANY (ARRAY(
    SELECT tenant FROM merestone.access WHERE pg_has_role(current_user, role, 'USAGE'))));

DROP POLICY IF EXISTS consumer ON merestone.reading;
CREATE POLICY consumer ON merestone.reading FOR INSERT WITH CHECK (true);

COMMIT;
