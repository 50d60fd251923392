-- What the schema consists of, one row for each object: its kind, its name, how it is defined.
-- `padelops.store.schema_shape` compares it with what the migrations make.

-- name: columns
SELECT 'column' AS kind, tables.relname || '.' || columns.attname AS name,
       format_type(columns.atttypid, columns.atttypmod)
           || CASE WHEN columns.attnotnull THEN ' NOT NULL' ELSE '' END
           || CASE columns.attidentity::text WHEN '' THEN '' ELSE ' IDENTITY ' || columns.attidentity::text END
           || coalesce(' DEFAULT ' || pg_get_expr(defaults.adbin, defaults.adrelid), '') AS definition
  FROM pg_class AS tables
  JOIN pg_attribute AS columns ON columns.attrelid = tables.oid AND columns.attnum > 0 AND NOT columns.attisdropped
  LEFT JOIN pg_attrdef AS defaults ON defaults.adrelid = tables.oid AND defaults.adnum = columns.attnum
 WHERE tables.relnamespace = current_schema()::regnamespace AND tables.relkind IN ('r', 'v')
 UNION ALL
-- A policy hides rows from whoever looks, so that everything would seem to hold.
SELECT 'table', relname,
       CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END
           || CASE relpersistence WHEN 'u' THEN ' UNLOGGED' ELSE '' END
           || CASE WHEN relrowsecurity THEN ' ROW SECURITY' ELSE '' END
           || CASE WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = pg_class.oid AND rulename <> '_RETURN')
                   THEN ' RULES' ELSE '' END
  FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v');

-- name: constraints
-- A foreign key is kept by triggers of its own; ALTER TABLE … DISABLE TRIGGER ALL switches those off, too.
-- NOT NULL stands with the columns: only newer servers keep it as a constraint.
SELECT 'constraint' AS kind, tables.relname || '.' || constraints.conname AS name,
       replace(pg_get_constraintdef(constraints.oid), current_schema() || '.', '')
           || CASE WHEN EXISTS (SELECT FROM pg_trigger AS triggers
                                 WHERE triggers.tgconstraint = constraints.oid AND triggers.tgenabled NOT IN ('O', 'A'))
                   THEN ' DISABLED' ELSE '' END AS definition
  FROM pg_constraint AS constraints
  JOIN pg_class AS tables ON tables.oid = constraints.conrelid
 WHERE tables.relnamespace = current_schema()::regnamespace AND tables.relkind = 'r' AND constraints.contype <> 'n';

-- name: indexes
SELECT 'index' AS kind, tables.relname || '.' || indexes.relname AS name,
       replace(pg_get_indexdef(pg_index.indexrelid), current_schema() || '.', '')
           || CASE WHEN indisvalid AND indisready AND indislive THEN '' ELSE ' INVALID' END AS definition
  FROM pg_index
  JOIN pg_class AS tables ON tables.oid = pg_index.indrelid
  JOIN pg_class AS indexes ON indexes.oid = pg_index.indexrelid
 WHERE tables.relnamespace = current_schema()::regnamespace AND tables.relkind = 'r';

-- name: triggers
SELECT 'trigger' AS kind, tables.relname || '.' || triggers.tgname AS name,
       replace(pg_get_triggerdef(triggers.oid), current_schema() || '.', '')
           || CASE WHEN triggers.tgenabled IN ('O', 'A') THEN '' ELSE ' DISABLED' END AS definition
  FROM pg_trigger AS triggers
  JOIN pg_class AS tables ON tables.oid = triggers.tgrelid
 WHERE tables.relnamespace = current_schema()::regnamespace AND NOT triggers.tgisinternal;

-- name: functions
SELECT 'function' AS kind, functions.proname || '(' || pg_get_function_identity_arguments(functions.oid) || ')' AS name,
       concat_ws(' ', languages.lanname, functions.provolatile, functions.proparallel,
                 CASE WHEN functions.proisstrict THEN 'STRICT' END,
                 CASE WHEN functions.prosecdef THEN 'SECURITY DEFINER' END,
                 array_to_string(functions.proconfig, ' '),
                 md5(coalesce(functions.prosrc, '')
                     || replace(coalesce(pg_get_function_sqlbody(functions.oid), ''), current_schema() || '.', ''))) AS definition
  FROM pg_proc AS functions
  JOIN pg_language AS languages ON languages.oid = functions.prolang
 WHERE functions.pronamespace = current_schema()::regnamespace;
