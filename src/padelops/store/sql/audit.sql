-- The audit trail: reading a story, sealing finished transactions, finding what was tampered with.

-- name: is_there
SELECT EXISTS (SELECT FROM audit_entries WHERE id = %(id)s);

-- name: note
-- An operator action that changes no audited row of its own (a purge, an import, a seal).
INSERT INTO audit_entries (club_id, subject_kind, subject_id, action, actor, door, request_id, changes)
SELECT %(club_id)s, 'operator', %(subject_id)s, %(action)s, origin.actor, origin.door, origin.request_id, %(changes)s
  FROM audit_origin() AS origin
RETURNING id;

-- name: history
SELECT id, at, subject_kind, subject_id, version, action, actor, door, request_id, changes
  FROM audit_entries
 WHERE subject_kind = %(subject_kind)s AND subject_id = %(subject_id)s
 ORDER BY version;

-- name: export
SELECT id, at, tx::text AS tx, club_id, subject_kind, subject_id, version, action, actor, door, request_id, changes
  FROM audit_entries
 WHERE id > %(after)s
   AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
 ORDER BY id
 LIMIT %(limit)s;

-- name: seal_lock
SELECT pg_advisory_xact_lock(hashtext('padelops.audit_seal'));

-- name: seal
-- Cover the entries of every transaction that finished since the last seal, at most %(limit)s entries
-- and whatever else their last transaction wrote. Transactions below the snapshot's xmin are over, so
-- no entry can appear among them later; sequence ids would not tell, they are not handed out in
-- commit order.
WITH previous AS (
    SELECT id, below_tx, digest FROM audit_seals ORDER BY id DESC LIMIT 1
), start AS (
    SELECT coalesce((SELECT id FROM previous), 0) + 1 AS id,
           coalesce((SELECT below_tx FROM previous), '0'::xid8) AS from_tx,
           coalesce((SELECT digest FROM previous), ''::bytea) AS chained
), cut AS (
    SELECT entry.tx FROM audit_entries AS entry, start
     WHERE entry.tx >= start.from_tx
     ORDER BY entry.tx, entry.id OFFSET %(limit)s LIMIT 1
), bounds AS (
    SELECT start.*, least(pg_snapshot_xmin(pg_current_snapshot()),
                          coalesce(((SELECT tx FROM cut)::text::numeric + 1)::text::xid8,
                                   pg_snapshot_xmin(pg_current_snapshot()))) AS below_tx
      FROM start
), covered AS (
    SELECT range_agg(int8range(entry.id, entry.id, '[]')) AS entry_ids,
           count(*) AS entries,
           string_agg(audit_leaf(entry), ''::bytea ORDER BY entry.id) AS leaves
      FROM audit_entries AS entry, bounds
     WHERE entry.tx >= bounds.from_tx AND entry.tx < bounds.below_tx
)
INSERT INTO audit_seals (id, from_tx, below_tx, entry_ids, entries, leaves, digest)
SELECT bounds.id, bounds.from_tx, bounds.below_tx, covered.entry_ids, covered.entries, covered.leaves,
       sha256(bounds.chained || convert_to(concat_ws(' ', bounds.id, bounds.from_tx, bounds.below_tx,
                                                     covered.entry_ids), 'UTF8') || covered.leaves)
  FROM bounds, covered
 WHERE covered.entries > 0
RETURNING id, entries, encode(digest, 'hex') AS digest;

-- name: horizon_is_behind
-- A database restored from a dump counts its transactions from the beginning again, so its seals
-- would claim transactions that have not happened yet.
SELECT coalesce(max(below_tx), '0'::xid8) > pg_snapshot_xmax(pg_current_snapshot()) AS behind FROM audit_seals;

-- name: unsealed
SELECT count(*) AS entries, min(at) AS oldest
  FROM audit_entries
 WHERE tx >= coalesce((SELECT max(below_tx) FROM audit_seals), '0'::xid8);

-- name: edited
-- Entries that no longer are what they were at birth: all of those that no seal covers yet, and of the
-- others all, or about so many drawn by lot. OFFSET 0 keeps the limit from talking the planner into
-- reading the whole table through an index, without parallel workers.
SELECT id
  FROM (
    SELECT id FROM audit_entries AS entry
     WHERE CASE WHEN %(sample)s::bigint IS NULL
                  OR tx >= (SELECT coalesce(max(below_tx), '0'::xid8) FROM audit_seals)
                  OR hashint8extended(id, %(seed)s::bigint)
                     %% (SELECT coalesce(max(id), 0) / greatest(%(sample)s::bigint, 1) + 1 FROM audit_entries) = 0
                THEN leaf <> audit_leaf(entry) ELSE false END
    OFFSET 0
  ) AS edited
 ORDER BY id
 LIMIT %(limit)s;

-- name: check_seals
-- Each seal beside what its entries say today. `chained` is what its digest must be, given its own
-- stored parts and the digest of the seal before it; `follows` says that no seal is missing between.
-- Whether each entry still fits its own fingerprint is what `edited` asks; here the fingerprints count.
SELECT seals.id,
       seals.entries,
       encode(seals.digest, 'hex') AS digest,
       seals.digest = sha256(
           coalesce(lag(seals.digest) OVER chain, ''::bytea)
           || convert_to(concat_ws(' ', seals.id, seals.from_tx, seals.below_tx, seals.entry_ids), 'UTF8') || seals.leaves
       ) AS chained,
       seals.id = coalesce(lag(seals.id) OVER chain, 0) + 1
           AND seals.from_tx = coalesce(lag(seals.below_tx) OVER chain, '0'::xid8) AS follows,
       today.leaves IS NOT DISTINCT FROM seals.leaves
           AND today.entry_ids IS NOT DISTINCT FROM seals.entry_ids AS intact
  FROM audit_seals AS seals
 CROSS JOIN LATERAL (
    SELECT range_agg(int8range(entry.id, entry.id, '[]')) AS entry_ids,
           string_agg(entry.leaf, ''::bytea ORDER BY entry.id) AS leaves
      FROM audit_entries AS entry
     WHERE entry.tx >= seals.from_tx AND entry.tx < seals.below_tx
 ) AS today
WINDOW chain AS (ORDER BY seals.id)
 ORDER BY seals.id;

-- name: sealed_entries
-- What a broken seal recorded: 16 bytes for each of `sealed_ids`, in the order of the ids.
SELECT leaves FROM audit_seals WHERE id = %(seal_id)s;

-- name: sealed_ids
SELECT generate_series(lower(part), upper(part) - 1) AS id
  FROM audit_seals, unnest(entry_ids) AS part
 WHERE audit_seals.id = %(seal_id)s
 ORDER BY 1;

-- name: entries_of_seal
-- An entry whose own fingerprint was touched has none that could match.
SELECT entry.id, CASE WHEN entry.leaf = audit_leaf(entry) THEN entry.leaf ELSE '' END AS leaf
  FROM audit_entries AS entry, audit_seals AS seals
 WHERE seals.id = %(seal_id)s AND entry.tx >= seals.from_tx AND entry.tx < seals.below_tx
 ORDER BY entry.id;

-- name: incomplete
-- Things that changed without exactly one entry for each change: their version counts the changes.
WITH things AS (
    SELECT kind AS subject_kind, id, version FROM claims
    UNION ALL SELECT 'club', id, version FROM clubs
    UNION ALL SELECT 'court', id, version FROM courts
    UNION ALL SELECT 'payment', id, version FROM payment_attempts
    UNION ALL SELECT 'refund', id, version FROM refunds
    UNION ALL SELECT 'breaker', id, version FROM breakers
    UNION ALL SELECT 'token', id, version FROM api_tokens
    UNION ALL SELECT 'incident', id, version FROM incidents
), recorded AS (
    SELECT subject_kind, subject_id, count(*) AS entries, count(DISTINCT version) AS versions,
           min(version) AS first, max(version) AS last
      FROM audit_entries WHERE version IS NOT NULL
     GROUP BY subject_kind, subject_id
)
SELECT coalesce(things.subject_kind, recorded.subject_kind) AS subject_kind,
       coalesce(things.id, recorded.subject_id) AS subject_id,
       coalesce(things.version, 0) AS changes,
       coalesce(recorded.entries, 0) AS entries
  FROM things
  FULL JOIN recorded ON recorded.subject_kind = things.subject_kind AND recorded.subject_id = things.id
 WHERE things.id IS NULL OR recorded.subject_id IS NULL
    OR recorded.entries <> things.version OR recorded.versions <> things.version
    OR recorded.first <> 1 OR recorded.last <> things.version
 ORDER BY 1, 2
 LIMIT %(limit)s;

-- name: missing_guards
-- The triggers that make the trail what it is, where they are absent or switched off.
SELECT wanted.relation || '.' || wanted.name AS guard
  FROM (VALUES ('audit_entries', 'audit_entries_append_only'), ('audit_entries', 'audit_entries_no_truncate'),
               ('audit_entries', 'audit_entries_fingerprint'),
               ('audit_seals', 'audit_seals_append_only'), ('audit_seals', 'audit_seals_no_truncate'),
               ('claims', 'claims_recorded'), ('claims', 'claims_keep_their_history'), ('claims', 'claims_no_delete'),
               ('clubs', 'clubs_recorded'), ('courts', 'courts_recorded'),
               ('breakers', 'breakers_recorded'), ('breakers', 'breakers_followed'), ('breakers', 'breakers_no_delete')
       ) AS wanted (relation, name)
  LEFT JOIN pg_trigger AS found
    ON found.tgrelid = to_regclass(wanted.relation) AND found.tgname = wanted.name AND found.tgenabled IN ('O', 'A')
 WHERE found.oid IS NULL
 ORDER BY 1;
