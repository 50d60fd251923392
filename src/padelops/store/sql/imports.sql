-- Imports: rows are staged in temporary tables of one connection, resolved to courts, and claimed court
-- by court. `outcomes` says what became of each row, and in which batch; batch 0 is before any claim.

-- name: create_staging
-- A killed import must not wait on for a lock, in its turn: the server looks whether it is still there.
SET client_connection_check_interval = '1s';
CREATE TEMP TABLE staged (
    seq          bigint NOT NULL,
    system       text NOT NULL,
    kind         text NOT NULL,
    source       text NOT NULL,
    model        text NOT NULL,
    scope        text NOT NULL,
    ref          text NOT NULL,
    club_key     text,
    court_key    text,
    digest       text NOT NULL,
    created_at   timestamptz,
    updated_at   timestamptz,
    external_ref text,
    status       text,
    starts_at    timestamptz,
    ends_at      timestamptz,
    ended_at     timestamptz,
    reason       text,
    player_name  text,
    player_email text,
    player_phone text,
    player_count smallint,
    notes        text,
    currency     text,
    total        numeric,
    lines        text,
    payment_status text,
    captured     numeric,
    refunded     numeric,
    paid_at      timestamptz,
    problem      text,
    detail       text,
    context      text NOT NULL,
    record       text NOT NULL
);
CREATE TEMP TABLE pieces (
    seq       bigint NOT NULL,
    n         integer NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at   timestamptz NOT NULL
);
CREATE TEMP TABLE outcomes (
    seq      bigint PRIMARY KEY,
    outcome  text NOT NULL,
    reason   text,
    detail   text NOT NULL DEFAULT '',
    clashes  jsonb NOT NULL DEFAULT '[]',
    claim_id bigint,
    batch    integer NOT NULL
);
CREATE INDEX ON outcomes (batch);
CREATE TEMP TABLE queue (
    court_id bigint NOT NULL,
    position bigint NOT NULL,
    seq      bigint NOT NULL,
    club_id  bigint NOT NULL,
    PRIMARY KEY (court_id, position)
);
CREATE TEMP TABLE block_queue (
    court_id     bigint NOT NULL,
    position     bigint NOT NULL,
    seq          bigint NOT NULL,
    club_id      bigint NOT NULL,
    external_ref text NOT NULL,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    outcome      text,
    clashes      jsonb NOT NULL DEFAULT '[]',
    claim_id     bigint,
    PRIMARY KEY (court_id, position)
);

-- name: copy_staged
COPY staged (
    seq, system, kind, source, model, scope, ref, club_key, court_key, digest, created_at, updated_at, external_ref,
    status, starts_at, ends_at, ended_at, reason, player_name, player_email, player_phone, player_count, notes,
    currency, total, lines, payment_status, captured, refunded, paid_at, problem, detail, context, record
) FROM STDIN;

-- name: copy_pieces
COPY pieces (seq, n, starts_at, ends_at) FROM STDIN;

-- name: finish_staging
CREATE UNIQUE INDEX ON staged (seq);
ANALYZE staged;
ANALYZE pieces;

-- name: known_clubs
SELECT clubs.slug, clubs.external_ref, clubs.time_zone, clubs.currency,
       ARRAY(SELECT courts.external_ref FROM courts
              WHERE courts.club_id = clubs.id AND courts.external_ref IS NOT NULL) AS court_refs
  FROM clubs;

-- name: preview
-- A dry run works on copies that stand in front of the real tables: on this connection a temporary
-- table hides the permanent one of the same name. So it does exactly what the import does, and can
-- write nothing, lock nothing and hold up nobody.
CREATE TEMP SEQUENCE preview_ids INCREMENT -1;
CREATE TEMP TABLE real_claims AS
SELECT claims.* FROM claims
 WHERE court_id IN (
    SELECT courts.id FROM courts JOIN clubs ON clubs.id = courts.club_id
     WHERE courts.external_ref IN (SELECT court_key FROM staged)
        OR clubs.external_ref IN (SELECT club_key FROM staged) OR clubs.slug IN (SELECT club_key FROM staged)
 );
CREATE TEMP TABLE real_quarantine AS SELECT * FROM quarantine;
CREATE TEMP TABLE claims (LIKE claims INCLUDING CONSTRAINTS INCLUDING INDEXES INCLUDING DEFAULTS);
CREATE TEMP TABLE quarantine (LIKE quarantine INCLUDING INDEXES INCLUDING DEFAULTS);
CREATE TEMP TABLE payment_events AS SELECT * FROM payment_events WITH NO DATA;
CREATE TEMP TABLE clubs AS SELECT * FROM clubs;
CREATE TEMP TABLE courts AS SELECT * FROM courts;
ALTER TABLE pg_temp.claims ALTER id SET DEFAULT nextval('pg_temp.preview_ids');
ALTER TABLE pg_temp.quarantine ALTER id SET DEFAULT nextval('pg_temp.preview_ids');
ALTER TABLE pg_temp.clubs ALTER id SET DEFAULT nextval('pg_temp.preview_ids');
ALTER TABLE pg_temp.courts ALTER id SET DEFAULT nextval('pg_temp.preview_ids');
INSERT INTO pg_temp.claims SELECT * FROM real_claims;
INSERT INTO pg_temp.quarantine SELECT * FROM real_quarantine;
ANALYZE pg_temp.claims;

-- name: preview_club
INSERT INTO pg_temp.clubs (slug, name, time_zone, currency)
VALUES (%(slug)s, %(name)s, %(time_zone)s, %(currency)s);

-- name: preview_court
INSERT INTO pg_temp.courts (club_id, name)
SELECT id, %(name)s FROM pg_temp.clubs
 WHERE slug = %(slug)s
   AND NOT EXISTS (SELECT FROM pg_temp.courts WHERE courts.club_id = clubs.id AND courts.name = %(name)s);

-- name: import_lock
-- Imports take turns, batch by batch: two that bring the same rows at once would wait for each other
-- in the middle of their batches otherwise.
SELECT pg_advisory_xact_lock(hashtext('padelops.import'));

-- name: slug_of_ref
SELECT slug FROM clubs WHERE external_ref = %(external_ref)s;

-- name: ref_of_slug
SELECT external_ref FROM clubs WHERE slug = %(slug)s;

-- name: link_club
UPDATE clubs SET external_ref = %(external_ref)s WHERE slug = %(slug)s AND external_ref IS NULL;

-- name: link_courts
UPDATE courts
   SET external_ref = wanted.external_ref
  FROM clubs, unnest(%(names)s::text[], %(refs)s::text[]) AS wanted (name, external_ref)
 WHERE clubs.slug = %(slug)s AND courts.club_id = clubs.id AND courts.name = wanted.name
   AND courts.external_ref IS NULL;

-- name: courts_of
SELECT name, external_ref FROM courts WHERE club_id = (SELECT id FROM clubs WHERE slug = %(slug)s);

-- name: set_repeated_apart
-- Of several versions of one row the newest counts, whatever file it stands in; one that cannot be
-- read loses against one that can.
WITH versions AS (
    SELECT seq, digest, row_number() OVER version AS rank, first_value(digest) OVER version AS kept
      FROM staged
    WINDOW version AS (PARTITION BY model, scope, ref
                       ORDER BY problem IS NOT NULL, updated_at DESC NULLS LAST, digest, seq)
)
INSERT INTO outcomes (seq, outcome, detail, batch)
SELECT seq, CASE WHEN digest = kept THEN 'already_there' ELSE 'differs' END,
       CASE WHEN digest = kept THEN 'it comes twice' ELSE 'a newer version of the row is in the same import' END, 0
  FROM versions WHERE rank > 1;

-- name: set_problems_apart
INSERT INTO outcomes (seq, outcome, reason, detail, batch)
SELECT seq, 'quarantined', problem, detail, 0 FROM staged
 WHERE problem IS NOT NULL
    ON CONFLICT DO NOTHING;

-- name: know_courts
CREATE TEMP TABLE court_keys AS
SELECT 'padelyzer' AS system, clubs.external_ref AS club_key, courts.external_ref AS court_key, courts.club_id,
       courts.id AS court_id, clubs.currency
  FROM courts JOIN clubs ON clubs.id = courts.club_id
 WHERE courts.external_ref IS NOT NULL
 UNION ALL
SELECT 'csv', clubs.slug, courts.name, courts.club_id, courts.id, clubs.currency
  FROM courts JOIN clubs ON clubs.id = courts.club_id;
ANALYZE court_keys;

-- name: queue_reservations
-- On each court the first to be created comes first, then the lower key; a row that does not say when
-- it was created comes last. (Shorter keys are lower, so that 9 comes before 10.)
WITH found AS (
    SELECT staged.seq, min(court_id) AS court_id, min(club_id) AS club_id
      FROM staged
      JOIN court_keys AS known
        ON known.system = staged.system AND known.court_key = staged.court_key
       AND (staged.club_key IS NULL OR known.club_key = staged.club_key)
       AND (staged.currency IS NULL OR known.currency = staged.currency)
     WHERE staged.kind = 'reservation' AND NOT EXISTS (SELECT FROM outcomes WHERE outcomes.seq = staged.seq)
     GROUP BY staged.seq
    HAVING count(*) = 1
)
INSERT INTO queue (court_id, position, seq, club_id)
SELECT court_id,
       row_number() OVER (PARTITION BY court_id ORDER BY created_at NULLS LAST, length(ref), ref COLLATE "C"),
       seq, club_id
  FROM found JOIN staged USING (seq);

-- name: queue_blocks
-- A block of the whole club is one of each of its courts.
WITH found AS (
    SELECT staged.seq, known.court_id, known.club_id
      FROM staged
      JOIN court_keys AS known
        ON known.system = staged.system
       AND (known.court_key = staged.court_key OR (staged.court_key IS NULL AND staged.club_key IS NOT NULL))
       AND (staged.club_key IS NULL OR known.club_key = staged.club_key)
     WHERE staged.kind = 'block' AND NOT EXISTS (SELECT FROM outcomes WHERE outcomes.seq = staged.seq)
)
INSERT INTO block_queue (court_id, position, seq, club_id, external_ref, starts_at, ends_at)
SELECT found.court_id,
       row_number() OVER (PARTITION BY found.court_id
                          ORDER BY staged.created_at NULLS LAST, length(staged.ref), staged.ref COLLATE "C", pieces.n),
       found.seq, found.club_id, staged.external_ref || ':' || courts.name || ':' || pieces.n,
       pieces.starts_at, pieces.ends_at
  FROM found
  JOIN staged USING (seq)
  JOIN pieces USING (seq)
  JOIN courts ON courts.id = found.court_id;

-- name: set_strangers_apart
-- Rows that no court was found for, and why.
WITH clubs_known AS (
    SELECT 'padelyzer' AS system, external_ref AS club_key FROM clubs WHERE external_ref IS NOT NULL
     UNION ALL SELECT 'csv', slug FROM clubs
)
INSERT INTO outcomes (seq, outcome, reason, detail, batch)
SELECT staged.seq, 'quarantined', why.reason, why.detail, 0
  FROM staged
 CROSS JOIN LATERAL (
    SELECT count(*) AS n, bool_or(club_key = staged.club_key) AS of_club, min(known.currency) AS currency
      FROM court_keys AS known
     WHERE known.system = staged.system AND known.court_key = staged.court_key
 ) AS court
 CROSS JOIN LATERAL (
    SELECT CASE
        WHEN staged.club_key IS NOT NULL
             AND NOT EXISTS (SELECT FROM clubs_known AS known
                              WHERE known.system = staged.system AND known.club_key = staged.club_key)
            THEN ARRAY['unknown_club', format('there is no club %%s here', left(staged.club_key, 60))]
        WHEN staged.court_key IS NULL THEN ARRAY['unknown_court', 'its club has no court yet']
        WHEN court.n = 0
            THEN ARRAY['unknown_court', format('there is no court %%s here', left(staged.court_key, 60))]
        WHEN staged.system = 'csv' AND NOT court.of_club
            THEN ARRAY['unknown_court', format('%%s has no court %%s', staged.club_key, left(staged.court_key, 60))]
        WHEN staged.club_key IS NOT NULL AND NOT court.of_club
            THEN ARRAY['court_of_another_club', format('court %%s is not of club %%s', left(staged.court_key, 60),
                                                       left(staged.club_key, 60))]
        WHEN staged.currency IS NOT NULL AND staged.currency <> court.currency
            THEN ARRAY['wrong_currency', format('it is in %%s, the club charges %%s', staged.currency, court.currency)]
        ELSE ARRAY['ambiguous_court', format('%%s courts have the key %%s; the row does not name its club',
                                             court.n, left(staged.court_key, 60))]
        END AS both
 ) AS found
 CROSS JOIN LATERAL (SELECT found.both[1] AS reason, found.both[2] AS detail) AS why
 WHERE NOT EXISTS (SELECT FROM outcomes WHERE outcomes.seq = staged.seq)
   AND NOT EXISTS (SELECT FROM queue WHERE queue.seq = staged.seq)
   AND NOT EXISTS (SELECT FROM block_queue WHERE block_queue.seq = staged.seq);

-- name: finish_queues
CREATE UNIQUE INDEX ON queue (seq);
CREATE INDEX ON block_queue (seq);
ANALYZE queue;
ANALYZE block_queue;

-- name: courts_to_fill
SELECT court_id, max(club_id) AS club_id, sum(reservations)::bigint AS reservations, sum(blocks)::bigint AS blocks
  FROM (SELECT court_id, club_id, count(*) AS reservations, 0 AS blocks FROM queue GROUP BY court_id, club_id
         UNION ALL
        SELECT court_id, club_id, 0, count(*) FROM block_queue GROUP BY court_id, club_id) AS counted
 GROUP BY court_id
 ORDER BY 2, 1;

-- name: window_of
-- The court time that a batch is about, for retiring the holds that ran out in it.
SELECT min(starts_at), max(ends_at)
  FROM queue JOIN staged USING (seq)
 WHERE queue.court_id = %(court_id)s AND position > %(after)s AND position <= %(upto)s
   AND status IN ('pending', 'confirmed');

-- name: find_there
-- A row of a batch is unsettled while its batch has no outcome for it.
-- Rows that came in before, by this import, an earlier one, or the same one before it was killed.
INSERT INTO outcomes (seq, outcome, detail, claim_id, batch)
SELECT queue.seq, CASE WHEN claims.request_digest = staged.digest THEN 'already_there' ELSE 'differs' END,
       CASE WHEN claims.request_digest = staged.digest THEN '' ELSE concat_ws(', ',
           CASE WHEN claims.court_id <> queue.court_id THEN 'court' END,
           CASE WHEN claims.starts_at <> staged.starts_at THEN 'start' END,
           CASE WHEN claims.ends_at <> staged.ends_at THEN 'end' END,
           CASE WHEN claims.status <> staged.status THEN 'status' END,
           CASE WHEN claims.total <> staged.total THEN 'total' END,
           CASE WHEN (claims.captured, claims.refunded) <> (staged.captured, staged.refunded) THEN 'payment' END,
           CASE WHEN (claims.player_name, claims.player_email, claims.player_phone, claims.player_count)
                     IS DISTINCT FROM
                     (staged.player_name, staged.player_email, staged.player_phone, staged.player_count)
                THEN 'player' END,
           CASE WHEN claims.notes IS DISTINCT FROM staged.notes THEN 'notes' END
       ) END, claims.id, %(batch)s
  FROM queue
  JOIN staged USING (seq)
 CROSS JOIN LATERAL (
    -- OFFSET 0: looked up row by row, however few rows claims is thought to have. Plus 0: by the
    -- reference, however few rows the club is thought to have.
    SELECT * FROM claims
     WHERE club_id + 0 = %(club_id)s AND external_ref = staged.external_ref AND kind = 'reservation' OFFSET 0
 ) AS claims
 WHERE queue.court_id = %(court_id)s AND position > %(after)s AND position <= %(upto)s
   AND queue.seq NOT IN (SELECT seq FROM outcomes WHERE batch = %(batch)s);

-- name: claim_reservations
-- The constraint decides, row by row in the order of the queue.
WITH todo AS MATERIALIZED (
    SELECT staged.*, queue.court_id, queue.club_id, queue.position, clubs.currency AS club_currency
      FROM queue
      JOIN staged USING (seq)
      JOIN clubs ON clubs.id = queue.club_id
     WHERE queue.court_id = %(court_id)s AND position > %(after)s AND position <= %(upto)s
       AND queue.seq NOT IN (SELECT seq FROM outcomes WHERE batch = %(batch)s)
), made AS (
    INSERT INTO claims (
        club_id, court_id, kind, status, starts_at, ends_at, free_at, request_digest, player_name, player_email,
        player_phone, player_count, notes, currency, total, lines, price_source, payment_method, payment_status,
        captured, refund_due, refunded, reason, external_ref, created_at, ended_at
    )
    SELECT club_id, court_id, 'reservation', status, starts_at, ends_at, ends_at, digest, player_name, player_email,
           player_phone, player_count, notes, club_currency, total, lines::jsonb, 'imported', 'desk', payment_status,
           captured, refunded, refunded, reason, external_ref, coalesce(created_at, %(now)s), ended_at
      FROM todo
     ORDER BY position
        ON CONFLICT DO NOTHING
    RETURNING id, external_ref
)
INSERT INTO outcomes (seq, outcome, claim_id, batch)
SELECT DISTINCT ON (made.id) todo.seq, 'imported', made.id, %(batch)s
  FROM made JOIN todo ON todo.external_ref = made.external_ref
 ORDER BY made.id, todo.position;

-- name: record_money
-- What was paid and given back in the old system; the amounts that the claims came with. Where it does not say when, at the row's creation:
-- on the day of the import the club took no money.
INSERT INTO payment_events (club_id, claim_id, kind, amount, gateway, event_key, at)
SELECT queue.club_id, outcomes.claim_id, money.kind, money.amount, 'imported',
       'import:' || money.kind || ':' || outcomes.claim_id, money.at
  FROM outcomes
  JOIN queue USING (seq)
  JOIN staged USING (seq)
 CROSS JOIN LATERAL (VALUES
    ('captured', staged.captured, coalesce(staged.paid_at, staged.created_at, %(now)s)),
    ('refunded', staged.refunded, coalesce(staged.ended_at, staged.paid_at, staged.created_at, %(now)s))
 ) AS money (kind, amount, at)
 WHERE outcomes.batch = %(batch)s AND outcomes.outcome = 'imported' AND money.amount > 0
 ORDER BY outcomes.claim_id, money.kind;

-- name: name_rivals
-- What keeps the court where a row could not go in. A rival that went away meanwhile is nobody to
-- name: such a row is left without an outcome, and tried again.
INSERT INTO outcomes (seq, outcome, reason, detail, clashes, batch)
SELECT queue.seq, 'quarantined', 'overlap',
       format('%%s/%%s %%s to %%s is taken', clubs.slug, courts.name,
              to_char(staged.starts_at AT TIME ZONE clubs.time_zone, 'YYYY-MM-DD HH24:MI'),
              to_char(staged.ends_at AT TIME ZONE clubs.time_zone, 'HH24:MI')),
       rivals.named, %(batch)s
  FROM queue
  JOIN staged USING (seq)
  JOIN clubs ON clubs.id = queue.club_id
  JOIN courts ON courts.id = queue.court_id
 CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('kind', kind, 'id', id, 'external_ref', external_ref,
                                        'starts_at', starts_at, 'ends_at', ends_at) ORDER BY starts_at) AS named
      FROM (
        SELECT id, kind, external_ref, starts_at, ends_at
          FROM claims
         WHERE claims.court_id = queue.court_id AND claims.status IN ('pending', 'confirmed')
           AND claims.starts_at > staged.starts_at - interval '28 hours'
           AND claims.starts_at < staged.ends_at AND claims.free_at > staged.starts_at
         ORDER BY starts_at LIMIT 10
      ) AS rival
 ) AS rivals
 WHERE queue.court_id = %(court_id)s AND position > %(after)s AND position <= %(upto)s
   AND queue.seq NOT IN (SELECT seq FROM outcomes WHERE batch = %(batch)s)
   AND rivals.named IS NOT NULL;

-- name: refuse_one
-- A row that a constraint refused, though the reader let it pass.
INSERT INTO outcomes (seq, outcome, reason, detail, batch)
SELECT seq, 'quarantined', 'refused_by_database', %(detail)s, %(batch)s
  FROM queue WHERE court_id = %(court_id)s AND position = %(position)s
    ON CONFLICT DO NOTHING;

-- name: block_window
SELECT min(starts_at), max(ends_at) FROM block_queue
 WHERE court_id = %(court_id)s AND position > %(after)s AND position <= %(upto)s;

-- name: find_blocks_there
UPDATE block_queue
   SET outcome = CASE WHEN claims.request_digest = staged.digest THEN 'already_there' ELSE 'differs' END,
       claim_id = claims.id
  FROM staged, claims
 WHERE block_queue.court_id = %(court_id)s AND position > %(after)s AND position <= %(upto)s
   AND block_queue.outcome IS NULL
   AND staged.seq = block_queue.seq
   AND claims.club_id + 0 = block_queue.club_id AND claims.external_ref = block_queue.external_ref
   AND claims.kind = 'block';

-- name: claim_blocks
WITH todo AS MATERIALIZED (
    SELECT block_queue.*, staged.status, staged.reason, staged.digest, staged.created_at, staged.ended_at
      FROM block_queue JOIN staged USING (seq)
     WHERE block_queue.court_id = %(court_id)s AND position > %(after)s AND position <= %(upto)s
       AND block_queue.outcome IS NULL
), made AS (
    INSERT INTO claims (club_id, court_id, kind, status, starts_at, ends_at, free_at, request_digest, reason,
                        external_ref, created_at, ended_at)
    SELECT club_id, court_id, 'block', status, starts_at, ends_at, ends_at, digest, reason, external_ref,
           coalesce(created_at, %(now)s), ended_at
      FROM todo
     ORDER BY position
        ON CONFLICT DO NOTHING
    RETURNING id, external_ref
)
UPDATE block_queue
   SET outcome = 'imported', claim_id = made.id
  FROM made
 WHERE block_queue.court_id = %(court_id)s AND position > %(after)s AND position <= %(upto)s
   AND block_queue.external_ref = made.external_ref;

-- name: name_block_rivals
UPDATE block_queue
   SET outcome = 'quarantined', clashes = rivals.named
  FROM (
    SELECT late.court_id, late.position,
           jsonb_agg(jsonb_build_object('kind', claims.kind, 'id', claims.id, 'external_ref', claims.external_ref,
                                        'starts_at', claims.starts_at, 'ends_at', claims.ends_at)
                     ORDER BY claims.starts_at) AS named
      FROM block_queue AS late
      JOIN claims ON claims.court_id = late.court_id AND claims.status IN ('pending', 'confirmed')
       AND claims.starts_at > late.starts_at - interval '28 hours'
       AND claims.starts_at < late.ends_at AND claims.free_at > late.starts_at
     WHERE late.court_id = %(court_id)s AND late.position > %(after)s AND late.position <= %(upto)s
       AND late.outcome IS NULL
     GROUP BY late.court_id, late.position
 ) AS rivals
 WHERE block_queue.court_id = rivals.court_id AND block_queue.position = rivals.position;

-- name: settle_blocks
-- A block is in when all of its pieces are. Pieces that found their court free stay laid while the row
-- waits in quarantine: a closed court must not be sold because another one is still booked.
INSERT INTO outcomes (seq, outcome, reason, detail, clashes, claim_id, batch)
SELECT seq, summed.outcome, CASE summed.outcome WHEN 'quarantined' THEN 'overlap' END,
       CASE WHEN summed.outcome = 'quarantined' AND taken < n
            THEN format('%%s of %%s pieces are laid; not on %%s', n - taken, n, courts_taken)
            WHEN summed.outcome = 'quarantined' THEN format('%%s taken in that time', courts_taken)
            ELSE '' END, clashes, claim_id, %(batch)s
  FROM (
    SELECT seq, count(*) AS n, count(*) FILTER (WHERE piece.outcome IS NULL OR piece.outcome = 'quarantined') AS taken,
           CASE WHEN bool_or(piece.outcome IS NULL OR piece.outcome = 'quarantined') THEN 'quarantined'
                WHEN bool_or(piece.outcome = 'differs') THEN 'differs'
                WHEN bool_or(piece.outcome = 'imported') THEN 'imported'
                ELSE 'already_there' END AS outcome,
           min(piece.claim_id) AS claim_id,
           string_agg(DISTINCT clubs.slug || '/' || courts.name, ', ')
               FILTER (WHERE piece.outcome IS NULL OR piece.outcome = 'quarantined') AS courts_taken,
           coalesce((SELECT jsonb_agg(rival) FROM (
               SELECT DISTINCT rival FROM block_queue AS other, jsonb_array_elements(other.clashes) AS rival
                WHERE other.seq = piece.seq LIMIT 10
           ) AS rivals), '[]') AS clashes
      FROM block_queue AS piece
      JOIN courts ON courts.id = piece.court_id
      JOIN clubs ON clubs.id = piece.club_id
     GROUP BY seq
  ) AS summed;

-- name: counts
SELECT staged.model, outcomes.outcome, outcomes.reason, count(*) AS rows
  FROM outcomes JOIN staged USING (seq)
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- name: differing
SELECT staged.model, staged.ref, outcomes.claim_id AS id, outcomes.detail
  FROM outcomes JOIN staged USING (seq)
 WHERE outcomes.outcome = 'differs'
 ORDER BY outcomes.seq LIMIT %(limit)s;
