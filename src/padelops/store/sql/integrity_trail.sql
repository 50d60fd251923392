-- The audit trail beside what it tells of. See integrity_rows.sql for the form. Seals and fingerprints are
-- in audit.sql: they are no matter of one club.

-- name: trail_of_claims
-- Each claim's version counts its changes, so versions 1 to N must have an entry each (the bits of `seen`
-- say which, exactly up to 62; beyond, count and bounds do). The last status that was recorded is packed
-- behind its version, so that one maximum finds it.
SELECT CASE WHEN claims.id IS NULL THEN 'rows_vanished'
            WHEN recorded.subject_id IS NULL OR recorded.entries <> claims.version OR recorded.first <> 1
              OR recorded.last <> claims.version OR recorded.kind <> claims.kind
              OR (claims.version < 62 AND recorded.seen <> (2::bigint << claims.version) - 2) THEN 'changes_recorded'
            ELSE 'states_recorded' END AS "check",
       coalesce(claims.kind, recorded.kind) || ' ' || coalesce(claims.id, recorded.subject_id) AS subject,
       jsonb_build_object(
           'id', coalesce(claims.id, recorded.subject_id), 'changes', claims.version,
           'entries', coalesce(recorded.entries, 0), 'status', claims.status,
           'recorded', (ARRAY['pending', 'confirmed', 'cancelled', 'expired', 'completed', 'no_show'])[recorded.status]
       ) AS evidence
  FROM (
    SELECT id, kind, version, status,
           array_position(ARRAY['pending', 'confirmed', 'cancelled', 'expired', 'completed', 'no_show'], status) AS place
      FROM claims WHERE %(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s)
  ) AS claims
  FULL JOIN (
    SELECT subject_id, min(subject_kind) AS kind, count(*) AS entries, min(version) AS first, max(version) AS last,
           bit_or(1::bigint << least(version, 62)) AS seen, max(version::bigint * 16 + place) %% 16 AS status
      FROM (
        -- Apart, so that what is sorted or hashed is a number and not the whole document of the change.
        SELECT subject_id, subject_kind, version, array_position(
                   ARRAY['pending', 'confirmed', 'cancelled', 'expired', 'completed', 'no_show'],
                   CASE action WHEN 'created' THEN changes ->> 'status' ELSE action END) AS place
          FROM audit_entries
         WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
           AND version IS NOT NULL AND subject_kind IN ('reservation', 'block')
        OFFSET 0
      ) AS entries
     GROUP BY subject_id
  ) AS recorded ON recorded.subject_id = claims.id
 WHERE claims.id IS NULL OR recorded.subject_id IS NULL OR recorded.entries <> claims.version
    OR recorded.first <> 1 OR recorded.last <> claims.version OR recorded.kind <> claims.kind
    OR (claims.version < 62 AND recorded.seen <> (2::bigint << claims.version) - 2)
    OR claims.place <> recorded.status
 ORDER BY coalesce(claims.id, recorded.subject_id);

-- name: trail_of_others
-- The same for what else has a version.
WITH things AS (
    SELECT 'club' AS subject_kind, id, version FROM clubs WHERE %(clubs)s::bigint[] IS NULL OR id = ANY (%(clubs)s)
    UNION ALL
    SELECT 'court', id, version FROM courts WHERE %(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s)
    UNION ALL
    SELECT 'payment', id, version FROM payment_attempts WHERE %(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s)
    UNION ALL
    SELECT 'refund', id, version FROM refunds WHERE %(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s)
), recorded AS (
    SELECT subject_kind, subject_id, count(*) AS entries, min(version) AS first, max(version) AS last,
           bit_or(1::bigint << least(version, 62)) AS seen
      FROM audit_entries
     WHERE (%(clubs)s::bigint[] IS NULL OR club_id = ANY (%(clubs)s))
       AND version IS NOT NULL AND subject_kind IN ('club', 'court', 'payment', 'refund')
     GROUP BY subject_kind, subject_id
)
SELECT CASE WHEN things.id IS NULL THEN 'rows_vanished' ELSE 'changes_recorded' END AS "check",
       coalesce(things.subject_kind, recorded.subject_kind) || ' ' || coalesce(things.id, recorded.subject_id) AS subject,
       jsonb_build_object('id', coalesce(things.id, recorded.subject_id), 'changes', things.version,
                          'entries', coalesce(recorded.entries, 0)) AS evidence
  FROM things
  FULL JOIN recorded ON recorded.subject_kind = things.subject_kind AND recorded.subject_id = things.id
 WHERE things.id IS NULL OR recorded.subject_id IS NULL OR recorded.entries <> things.version
    OR recorded.first <> 1 OR recorded.last <> things.version
    OR (things.version < 62 AND recorded.seen <> (2::bigint << things.version) - 2)
 ORDER BY coalesce(things.id, recorded.subject_id);

-- name: trail_of_breakers
-- Breakers belong to no club.
SELECT 'changes_recorded' AS "check", 'breaker ' || coalesce(breakers.id, recorded.subject_id) AS subject,
       jsonb_build_object('breaker', breakers.name, 'changes', breakers.version,
                          'entries', coalesce(recorded.entries, 0)) AS evidence
  FROM breakers
  FULL JOIN (
    SELECT subject_id, count(DISTINCT version) AS entries, max(version) AS last
      FROM audit_entries WHERE subject_kind = 'breaker' GROUP BY subject_id
  ) AS recorded ON recorded.subject_id = breakers.id
 WHERE breakers.id IS NULL OR recorded.subject_id IS NULL
    OR recorded.entries <> breakers.version OR recorded.last <> breakers.version;
