-- Whether rows belong together, and to the club they say. See integrity_rows.sql for the form.

-- name: foreign_rows
-- Rows whose other half is missing or another club's. No transaction touches two clubs, so none may show.
SELECT 'foreign_rows' AS "check", claims.kind || ' ' || claims.id AS subject,
       jsonb_build_object('id', claims.id, 'club_id', claims.club_id, 'court_id', claims.court_id,
                          'club_of_court', courts.club_id, 'club_of_tariff', tariffs.club_id,
                          'club_of_policy', policies.club_id) AS evidence
  FROM claims
  LEFT JOIN courts ON courts.id = claims.court_id
  LEFT JOIN tariffs ON tariffs.id = claims.tariff_id
  LEFT JOIN policies ON policies.id = claims.policy_id
 WHERE (%(clubs)s::bigint[] IS NULL OR claims.club_id = ANY (%(clubs)s))
   AND (courts.club_id IS DISTINCT FROM claims.club_id
        OR (claims.tariff_id IS NOT NULL AND tariffs.club_id IS DISTINCT FROM claims.club_id)
        OR (claims.policy_id IS NOT NULL AND policies.club_id IS DISTINCT FROM claims.club_id))
 UNION ALL
SELECT 'foreign_rows', 'payment event ' || events.id,
       jsonb_build_object('id', events.id, 'club_id', events.club_id, 'reservation', events.claim_id,
                          'club_of_reservation', claims.club_id)
  FROM payment_events AS events
  LEFT JOIN claims ON claims.id = events.claim_id
 WHERE (%(clubs)s::bigint[] IS NULL OR events.club_id = ANY (%(clubs)s))
   AND claims.club_id IS DISTINCT FROM events.club_id
 UNION ALL
SELECT 'foreign_rows', 'payment ' || attempts.id,
       jsonb_build_object('id', attempts.id, 'club_id', attempts.club_id, 'reservation', attempts.claim_id,
                          'club_of_reservation', claims.club_id, 'amount', attempts.amount, 'total', claims.total)
  FROM payment_attempts AS attempts
  LEFT JOIN claims ON claims.id = attempts.claim_id
 WHERE (%(clubs)s::bigint[] IS NULL OR attempts.club_id = ANY (%(clubs)s))
   AND (claims.club_id IS DISTINCT FROM attempts.club_id OR claims.currency <> attempts.currency)
 UNION ALL
SELECT 'foreign_rows', 'refund ' || refunds.id,
       jsonb_build_object('id', refunds.id, 'club_id', refunds.club_id, 'reservation', refunds.claim_id,
                          'reservation_of_payment', attempts.claim_id, 'club_of_payment', attempts.club_id)
  FROM refunds
  LEFT JOIN payment_attempts AS attempts ON attempts.id = refunds.attempt_id
 WHERE (%(clubs)s::bigint[] IS NULL OR refunds.club_id = ANY (%(clubs)s))
   AND (attempts.club_id IS DISTINCT FROM refunds.club_id OR attempts.claim_id <> refunds.claim_id)
 UNION ALL
SELECT 'foreign_rows', 'club ' || clubs.id,
       jsonb_build_object('id', clubs.id, 'club_of_tariff', tariffs.club_id, 'club_of_policy', policies.club_id)
  FROM clubs
  LEFT JOIN tariffs ON tariffs.id = clubs.tariff_id
  LEFT JOIN policies ON policies.id = clubs.policy_id
 WHERE (%(clubs)s::bigint[] IS NULL OR clubs.id = ANY (%(clubs)s))
   AND ((clubs.tariff_id IS NOT NULL AND tariffs.club_id IS DISTINCT FROM clubs.id)
        OR (clubs.policy_id IS NOT NULL AND policies.club_id IS DISTINCT FROM clubs.id))
 UNION ALL
SELECT 'foreign_rows', claims.kind || ' ' || claims.id,
       jsonb_build_object('id', claims.id, 'club_id', claims.club_id, 'party_id', claims.party_id,
                          'club_of_party', first.club_id)
  FROM claims
  JOIN claims AS first ON first.id = claims.party_id
 WHERE (%(clubs)s::bigint[] IS NULL OR claims.club_id = ANY (%(clubs)s))
   AND first.club_id <> claims.club_id;

-- name: rows_without_club
-- Rows of a club that is not there: no other check of one club would meet them.
SELECT 'rows_without_club' AS "check", lost.relation || ' ' || lost.id AS subject,
       jsonb_build_object('table', lost.relation, 'id', lost.id, 'club_id', lost.club_id) AS evidence
  FROM (
    SELECT 'claims' AS relation, id, club_id FROM claims WHERE club_id NOT IN (SELECT id FROM clubs)
    UNION ALL SELECT 'courts', id, club_id FROM courts WHERE club_id NOT IN (SELECT id FROM clubs)
    UNION ALL SELECT 'tariffs', id, club_id FROM tariffs WHERE club_id NOT IN (SELECT id FROM clubs)
    UNION ALL SELECT 'policies', id, club_id FROM policies WHERE club_id NOT IN (SELECT id FROM clubs)
    UNION ALL SELECT 'messages', id, club_id FROM messages WHERE club_id NOT IN (SELECT id FROM clubs)
    UNION ALL SELECT 'payment_events', id, club_id FROM payment_events WHERE club_id NOT IN (SELECT id FROM clubs)
    UNION ALL SELECT 'payment_attempts', id, club_id FROM payment_attempts WHERE club_id NOT IN (SELECT id FROM clubs)
    UNION ALL SELECT 'refunds', id, club_id FROM refunds WHERE club_id NOT IN (SELECT id FROM clubs)
  ) AS lost
 ORDER BY 2;

-- name: revisions
-- Courts that are not under their club's revision: nothing could be booked on them.
SELECT 'revisions_agree' AS "check", 'court ' || courts.id AS subject,
       jsonb_build_object('id', courts.id, 'revision', courts.revision, 'club_revision', clubs.revision) AS evidence
  FROM courts JOIN clubs ON clubs.id = courts.club_id
 WHERE (%(clubs)s::bigint[] IS NULL OR courts.club_id = ANY (%(clubs)s))
   AND courts.revision <> clubs.revision
 ORDER BY courts.id;

-- name: sequences
-- Sequences that would hand out an id that is taken, as after a restore that brought rows alone. This
-- writes one question for each table; in psql, \gexec asks them.
SELECT format(
           'SELECT %%L AS "check", %%L AS subject, jsonb_build_object(''table'', %%L, ''column'', %%L, ''highest'', max(%%I),'
           ' ''last_value'', coalesce(pg_sequence_last_value(%%s), 0)) AS evidence'
           ' FROM %%s HAVING max(%%4$I) > coalesce(pg_sequence_last_value(%%6$s), 0)',
           'sequences_ahead', 'sequence ' || owned.objid::regclass, owned.refobjid::regclass, columns.attname,
           columns.attname, owned.objid, owned.refobjid::regclass) AS question
  FROM pg_depend AS owned
  JOIN pg_class AS sequences ON sequences.oid = owned.objid AND sequences.relkind = 'S'
  JOIN pg_attribute AS columns ON columns.attrelid = owned.refobjid AND columns.attnum = owned.refobjsubid
 WHERE owned.classid = 'pg_class'::regclass AND owned.refclassid = 'pg_class'::regclass
   AND owned.deptype IN ('i', 'a') AND sequences.relnamespace = current_schema()::regnamespace
   AND has_table_privilege(owned.refobjid, 'SELECT')
 ORDER BY 1;

-- name: move_sequence
-- Ahead of what is there now; a writer that is in between takes an id that is higher still.
SELECT setval(pg_get_serial_sequence({name}, {column_name}), max({column})) FROM {relation} HAVING max({column}) > 0;

-- name: pieces
-- How many claims each club has, also a club that is not there any more.
SELECT coalesce(clubs.id, counted.club_id) AS id, clubs.slug, coalesce(counted.reservations, 0) AS reservations,
       coalesce(counted.blocks, 0) AS blocks
  FROM clubs
  FULL JOIN (
    SELECT club_id, count(*) FILTER (WHERE kind = 'reservation') AS reservations,
           count(*) FILTER (WHERE kind IS DISTINCT FROM 'reservation') AS blocks
      FROM claims GROUP BY club_id
  ) AS counted ON counted.club_id = clubs.id
 ORDER BY 1;

-- name: readable
-- What this role would have to be allowed to read, and is not.
SELECT relation::text
  FROM unnest(%(relations)s::text[]) AS relation
 WHERE to_regclass(relation) IS NOT NULL AND NOT has_table_privilege(to_regclass(relation), 'SELECT')
 ORDER BY 1;

-- name: who
SELECT current_user, pg_is_in_recovery(), system_identifier::text || '/' || current_database() FROM pg_control_system();

-- name: of_one_check
-- For people: what a statement finds for one of its checks.
SELECT * FROM (
{}
) AS found
 WHERE "check" = {};

-- name: export_snapshot
SELECT pg_export_snapshot();
