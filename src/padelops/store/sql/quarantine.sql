-- Rows of imports that could not go in, kept whole.

-- name: put_batch
-- The bad rows of one batch. A row that was there before is renewed, never doubled.
INSERT INTO quarantine (source, model, scope, external_ref, record, context, reason, detail, clashes_with)
SELECT staged.source, staged.model, staged.scope, staged.ref, staged.record::json, staged.context::jsonb,
       outcomes.reason, outcomes.detail, outcomes.clashes
  FROM outcomes JOIN staged USING (seq)
 WHERE outcomes.batch = %(batch)s AND outcomes.outcome = 'quarantined'
 ORDER BY outcomes.seq
    ON CONFLICT (model, scope, external_ref) DO UPDATE
   SET source = excluded.source, record = excluded.record, context = excluded.context, reason = excluded.reason,
       detail = excluded.detail, clashes_with = excluded.clashes_with, resolved_at = NULL;

-- name: resolve_batch
UPDATE quarantine
   SET resolved_at = %(now)s
  FROM outcomes JOIN staged USING (seq)
 WHERE outcomes.batch = %(batch)s AND outcomes.outcome IN ('imported', 'already_there', 'differs')
   AND quarantine.model = staged.model AND quarantine.scope = staged.scope
   AND quarantine.external_ref = staged.ref AND quarantine.resolved_at IS NULL
   -- A worse version of a row resolves nothing while the better one stays.
   AND outcomes.claim_id IS NOT NULL;

-- name: put
INSERT INTO quarantine (source, model, scope, external_ref, record, context, reason, detail)
VALUES (%(source)s, %(model)s, %(scope)s, %(external_ref)s, %(record)s::json, %(context)s::jsonb, %(reason)s, %(detail)s)
    ON CONFLICT (model, scope, external_ref) DO UPDATE
   SET source = excluded.source, record = excluded.record, context = excluded.context, reason = excluded.reason,
       detail = excluded.detail, clashes_with = excluded.clashes_with, resolved_at = NULL;

-- name: resolve
UPDATE quarantine SET resolved_at = %(now)s
 WHERE model = %(model)s AND scope = %(scope)s AND external_ref = %(external_ref)s AND resolved_at IS NULL;

-- name: open_rows
SELECT id, source, model, external_ref, reason, detail, clashes_with, created_at
  FROM quarantine
 WHERE resolved_at IS NULL
 ORDER BY id
 LIMIT %(limit)s;

-- name: open_records
SELECT id, source, model, record::text AS record, context
  FROM quarantine
 WHERE resolved_at IS NULL AND id > %(after)s AND id <= %(upto)s
 ORDER BY id
 LIMIT %(limit)s;

-- name: count_open
SELECT count(*), coalesce(max(id), 0) FROM quarantine WHERE resolved_at IS NULL;
