-- The booking core: clubs and their terms, claims on court time, money, messages, the audit trail.
--
-- What must always hold (DESIGN.md section 3) is said here in constraints and triggers, so that the
-- database also refuses a writer who does not come through the library. Constraint names are an
-- interface: store/engine.py turns them into padelops errors.

-- --- clubs and the terms they sell under ----------------------------------------------------

CREATE TABLE clubs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug         text NOT NULL,
    name         text NOT NULL,
    time_zone    text NOT NULL,
    currency     text NOT NULL,
    config       jsonb NOT NULL,
    tariff_id    bigint,
    policy_id    bigint,
    revision     integer NOT NULL DEFAULT 1,
    external_ref text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    version      integer NOT NULL DEFAULT 1,
    CONSTRAINT clubs_one_per_slug UNIQUE (slug),
    CONSTRAINT clubs_one_per_external_ref UNIQUE (external_ref),
    CONSTRAINT clubs_slug_is_plain CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    CONSTRAINT clubs_currency_is_iso CHECK (currency ~ '^[A-Z]{3}$')
);

-- Terms are never edited: an edited tariff is a new row, and old reservations keep pointing at the old one.
CREATE TABLE tariffs (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    club_id    bigint NOT NULL REFERENCES clubs,
    digest     text NOT NULL,
    terms      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tariffs_one_per_digest UNIQUE (club_id, digest)
);

CREATE TABLE policies (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    club_id    bigint NOT NULL REFERENCES clubs,
    digest     text NOT NULL,
    terms      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT policies_one_per_digest UNIQUE (club_id, digest)
);

ALTER TABLE clubs
    ADD CONSTRAINT clubs_tariff_exists FOREIGN KEY (tariff_id) REFERENCES tariffs,
    ADD CONSTRAINT clubs_policy_exists FOREIGN KEY (policy_id) REFERENCES policies;

CREATE TABLE courts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    club_id      bigint NOT NULL REFERENCES clubs,
    name         text NOT NULL,
    in_service   boolean NOT NULL DEFAULT true,
    -- The club's revision, copied here so that a claim can lock and check one row.
    revision     integer NOT NULL DEFAULT 1,
    attributes   jsonb NOT NULL DEFAULT '{}',
    external_ref text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    version      integer NOT NULL DEFAULT 1,
    CONSTRAINT courts_one_per_name UNIQUE (club_id, name),
    CONSTRAINT courts_one_per_external_ref UNIQUE (club_id, external_ref),
    CONSTRAINT courts_belong_to_club UNIQUE (club_id, id),
    CONSTRAINT courts_name_is_plain CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$')
);

-- --- claims on court time -------------------------------------------------------------------

CREATE FUNCTION sum_of_lines(lines jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT coalesce(sum((line ->> 'amount')::numeric), 0) FROM jsonb_array_elements(lines) AS line);

-- Reservations and blocks claim court time through this one table and its one exclusion
-- constraint, so the database itself decides between any two claims. Rows are never deleted.
CREATE TABLE claims (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    club_id          bigint NOT NULL,
    court_id         bigint NOT NULL,
    kind             text NOT NULL,
    status           text NOT NULL,
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL,
    free_at          timestamptz NOT NULL,
    hold_until       timestamptz,
    party_id         bigint,
    idempotency_key  text,
    request_digest   text,
    player_name      text,
    player_email     text,
    player_phone     text,
    player_count     smallint,
    notes            text,
    member_tier      text,
    currency         text,
    total            numeric,
    lines            jsonb,
    price_source     text,
    tariff_id        bigint REFERENCES tariffs,
    policy_id        bigint REFERENCES policies,
    payment_method   text,
    payment_status   text,
    captured         numeric NOT NULL DEFAULT 0,
    refund_due       numeric NOT NULL DEFAULT 0,
    refunded         numeric NOT NULL DEFAULT 0,
    reason           text,
    external_ref     text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz,
    version          integer NOT NULL DEFAULT 1,

    CONSTRAINT claims_court_of_club FOREIGN KEY (club_id, court_id) REFERENCES courts (club_id, id),
    CONSTRAINT claims_kind_known CHECK (kind IN ('reservation', 'block')),
    CONSTRAINT claims_status_known
        CHECK (status IN ('pending', 'confirmed', 'cancelled', 'expired', 'completed', 'no_show')),
    CONSTRAINT claims_end_after_start CHECK (starts_at < ends_at),
    CONSTRAINT claims_at_most_a_day CHECK (ends_at - starts_at <= interval '24 hours'),
    CONSTRAINT claims_buffer_bounded CHECK (free_at >= ends_at AND free_at - ends_at <= interval '4 hours'),
    CONSTRAINT claims_whole_minutes CHECK (
        extract(epoch FROM starts_at) % 60 = 0 AND extract(epoch FROM ends_at) % 60 = 0
    ),
    CONSTRAINT claims_sane_years CHECK (
        starts_at >= '2000-01-01 00:00:00+00' AND ends_at <= '2100-01-01 00:00:00+00'
    ),
    CONSTRAINT claims_hold_has_deadline CHECK (status <> 'pending' OR hold_until IS NOT NULL),
    CONSTRAINT claims_reservation_is_whole CHECK (
        kind <> 'reservation'
        OR (player_name IS NOT NULL AND currency IS NOT NULL AND total IS NOT NULL AND lines IS NOT NULL
            AND price_source IS NOT NULL AND payment_method IS NOT NULL AND payment_status IS NOT NULL)
    ),
    CONSTRAINT claims_block_is_plain CHECK (
        kind <> 'block' OR (reason IS NOT NULL AND total IS NULL AND captured = 0 AND refund_due = 0
                            AND status <> 'pending')
    ),
    CONSTRAINT claims_price_source_known CHECK (price_source IN ('tariff', 'fallback', 'imported')),
    CONSTRAINT claims_payment_method_known CHECK (payment_method IN ('desk', 'card')),
    CONSTRAINT claims_payment_status_known CHECK (payment_status IN (
        'due', 'pending', 'authorized', 'payment_unknown', 'queued', 'paid', 'declined', 'voided',
        'refund_due', 'partly_refunded', 'refunded', 'nothing_due'
    )),
    CONSTRAINT claims_total_is_sum_of_lines CHECK (total = sum_of_lines(lines)),
    CONSTRAINT claims_amounts_agree CHECK (
        total BETWEEN 0 AND 1000000000 AND captured BETWEEN 0 AND total
        AND refund_due BETWEEN 0 AND total AND refunded BETWEEN 0 AND captured
    ),
    CONSTRAINT claims_currency_is_iso CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT claims_texts_bounded CHECK (
        length(player_name) BETWEEN 1 AND 200 AND length(player_email) <= 254 AND length(player_phone) <= 40
        AND length(notes) <= 2000 AND length(reason) <= 500 AND length(idempotency_key) BETWEEN 1 AND 200
        AND length(external_ref) <= 200
    ),
    CONSTRAINT claims_player_count_bounded CHECK (player_count BETWEEN 1 AND 100),

    -- btree_gist is not everywhere: a one-element range stands for "same court".
    CONSTRAINT claims_no_overlap EXCLUDE USING gist (
        int8range(court_id, court_id, '[]') WITH &&,
        tstzrange(starts_at, free_at) WITH &&
    ) WHERE (status IN ('pending', 'confirmed'))
);

-- One key, one reservation. A hold that came to nothing gives its key back, so that a retry works.
CREATE UNIQUE INDEX claims_one_per_key ON claims (club_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL AND status <> 'expired';
CREATE UNIQUE INDEX claims_one_per_external_ref ON claims (club_id, external_ref)
    WHERE external_ref IS NOT NULL AND (kind = 'reservation' OR status = 'confirmed');

-- A court's day, for availability, and the stamp that says whether a cached day is still true.
CREATE INDEX claims_by_court ON claims (court_id, starts_at) INCLUDE (version);
-- Search pages by (starts_at, id), for one club, for one player, and across clubs.
CREATE INDEX claims_by_club ON claims (club_id, starts_at, id);
CREATE INDEX claims_by_start ON claims (starts_at, id);
CREATE INDEX claims_by_email ON claims (lower(player_email), starts_at, id) WHERE player_email IS NOT NULL;
CREATE INDEX claims_by_party ON claims (party_id) WHERE party_id IS NOT NULL;
-- The sweep's view: holds by deadline.
CREATE INDEX claims_by_deadline ON claims (hold_until) WHERE status = 'pending';

CREATE VIEW reservations AS
    SELECT claims.*, clubs.slug AS club, clubs.time_zone, courts.name AS court
      FROM claims JOIN clubs ON clubs.id = claims.club_id JOIN courts ON courts.id = claims.court_id
     WHERE claims.kind = 'reservation';

CREATE VIEW blocks AS
    SELECT claims.id, claims.club_id, claims.court_id, claims.status, claims.starts_at, claims.ends_at, claims.reason,
           claims.external_ref, claims.party_id, claims.created_at, claims.ended_at, claims.version,
           clubs.slug AS club, courts.name AS court
      FROM claims JOIN clubs ON clubs.id = claims.club_id JOIN courts ON courts.id = claims.court_id
     WHERE claims.kind = 'block';

-- --- money ----------------------------------------------------------------------------------

-- What happened to a reservation's money, once and for ever; the amounts on claims derive from it.
CREATE TABLE payment_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    club_id     bigint NOT NULL REFERENCES clubs,
    claim_id    bigint NOT NULL REFERENCES claims,
    kind        text NOT NULL,
    amount      numeric NOT NULL,
    gateway     text NOT NULL,
    gateway_ref text,
    event_key   text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT payment_events_kind_known CHECK (kind IN ('captured', 'refunded')),
    CONSTRAINT payment_events_amount_positive CHECK (amount > 0 AND amount <= 1000000000),
    CONSTRAINT payment_events_once UNIQUE (club_id, event_key)
);
CREATE UNIQUE INDEX payment_events_one_capture ON payment_events (claim_id) WHERE kind = 'captured';
CREATE INDEX payment_events_by_claim ON payment_events (claim_id);

-- --- messages -------------------------------------------------------------------------------

-- The outbox: written with the change that caused it, delivered later.
CREATE TABLE messages (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    club_id    bigint NOT NULL REFERENCES clubs,
    claim_id   bigint NOT NULL REFERENCES claims,
    kind       text NOT NULL,
    dedupe_key text NOT NULL,
    state      text NOT NULL DEFAULT 'queued',
    due_at     timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT messages_kind_known CHECK (kind IN ('confirmation', 'cancellation', 'reminder')),
    CONSTRAINT messages_state_known CHECK (state IN ('queued', 'delivered', 'failed', 'skipped')),
    CONSTRAINT messages_once UNIQUE (club_id, dedupe_key)
);
CREATE INDEX messages_by_claim ON messages (claim_id);
CREATE INDEX messages_queue ON messages (due_at) WHERE state = 'queued';

-- --- the audit trail ------------------------------------------------------------------------

CREATE TABLE audit_entries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The writing transaction: a seal covers whole finished transactions.
    tx           xid8 NOT NULL DEFAULT pg_current_xact_id(),
    club_id      bigint,
    subject_kind text NOT NULL,
    subject_id   bigint,
    version      integer,
    action       text NOT NULL,
    actor        text NOT NULL,
    door         text NOT NULL,
    request_id   text NOT NULL,
    changes      jsonb NOT NULL,
    -- The entry's fingerprint at birth: an edit shows at once, also before a seal covers it.
    leaf         bytea NOT NULL
);
-- Exactly one entry for each change of each thing.
CREATE UNIQUE INDEX audit_entries_one_per_change ON audit_entries (subject_kind, subject_id, version)
    WHERE version IS NOT NULL;
CREATE INDEX audit_entries_by_tx ON audit_entries (tx, id);

-- A chain: each seal's digest covers the one before it and the fingerprint of every entry of the
-- transactions in [from_tx, below_tx). `leaves` holds 16 bytes for each of `entry_ids`, in order, so
-- that a broken seal can name the entry.
CREATE TABLE audit_seals (
    id        bigint PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    from_tx   xid8 NOT NULL,
    below_tx  xid8 NOT NULL,
    entry_ids int8multirange NOT NULL,
    entries   bigint NOT NULL,
    leaves    bytea NOT NULL,
    digest    bytea NOT NULL,
    CONSTRAINT audit_seals_follow CHECK (id >= 1 AND from_tx < below_tx AND length(leaves) = 16 * entries)
);

CREATE FUNCTION audit_leaf(entry audit_entries) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN substring(sha256(convert_to(jsonb_build_array(
        entry.id, extract(epoch FROM entry.at), entry.tx::text, entry.club_id, entry.subject_kind, entry.subject_id,
        entry.version, entry.action, entry.actor, entry.door, entry.request_id, entry.changes
    )::text, 'UTF8')) FOR 16);

CREATE FUNCTION take_fingerprint() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.leaf := audit_leaf(NEW);
    RETURN NEW;
END
$$;

CREATE TRIGGER audit_entries_fingerprint BEFORE INSERT ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION take_fingerprint();

CREATE FUNCTION audit_origin(OUT actor text, OUT door text, OUT request_id text)
    LANGUAGE sql STABLE
    AS $$
    -- A writer who set nothing came by psql: the database login is who did it.
    SELECT coalesce(nullif(current_setting('padelops.actor', true), ''), session_user::text),
           coalesce(nullif(current_setting('padelops.door', true), ''), 'sql'),
           coalesce(current_setting('padelops.request_id', true), '')
    $$;

-- Arguments: the subject's name (or '' to read it from the row's `kind`), then the columns that hold
-- personal data: of those only the fact of a change is recorded, so that people can be erased
-- without breaking the chain.
CREATE FUNCTION record_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    personal text[] := TG_ARGV[1:];
    subject  text := TG_ARGV[0];
    origin   record := audit_origin();
    new_row  jsonb := to_jsonb(NEW);
    old_row  jsonb;
    changes  jsonb;
    action   text := 'created';
BEGIN
    IF subject = '' THEN
        subject := new_row ->> 'kind';
    END IF;
    IF TG_OP = 'INSERT' THEN
        changes := jsonb_strip_nulls(new_row - personal);
    ELSE
        old_row := to_jsonb(OLD);
        SELECT coalesce(jsonb_object_agg(
                   key,
                   CASE WHEN key = ANY (personal) THEN to_jsonb('changed'::text)
                        ELSE jsonb_build_array(old_row -> key, value) END
               ), '{}')
          INTO changes
          FROM jsonb_each(new_row)
         WHERE value IS DISTINCT FROM old_row -> key AND key <> 'version';
        action := CASE
            WHEN changes ? 'status' THEN new_row ->> 'status'
            WHEN changes ? 'payment_status' THEN 'payment_' || (new_row ->> 'payment_status')
            ELSE 'changed' END;
    END IF;

    INSERT INTO audit_entries (club_id, subject_kind, subject_id, version, action, actor, door, request_id, changes)
    VALUES (CASE WHEN subject = 'club' THEN NEW.id ELSE (new_row ->> 'club_id')::bigint END,
            subject, NEW.id, NEW.version, action, origin.actor, origin.door, origin.request_id, changes);
    RETURN NULL;
END
$$;

CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: %', lower(TG_OP), TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only', TABLE = TG_TABLE_NAME;
END
$$;

CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change('audit entries are never changed or deleted');
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    EXECUTE FUNCTION refuse_change('audit entries are never changed or deleted');
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION refuse_change('seals are never changed or deleted');
CREATE TRIGGER audit_seals_no_truncate BEFORE TRUNCATE ON audit_seals
    EXECUTE FUNCTION refuse_change('seals are never changed or deleted');
CREATE TRIGGER tariffs_append_only BEFORE UPDATE OR DELETE ON tariffs
    FOR EACH ROW EXECUTE FUNCTION refuse_change('terms are frozen; apply the club again to make new ones');
CREATE TRIGGER policies_append_only BEFORE UPDATE OR DELETE ON policies
    FOR EACH ROW EXECUTE FUNCTION refuse_change('terms are frozen; apply the club again to make new ones');
CREATE TRIGGER payment_events_append_only BEFORE UPDATE OR DELETE ON payment_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change('what happened to money is never changed or deleted');
CREATE TRIGGER payment_events_no_truncate BEFORE TRUNCATE ON payment_events
    EXECUTE FUNCTION refuse_change('what happened to money is never changed or deleted');
CREATE TRIGGER claims_no_delete BEFORE DELETE ON claims
    FOR EACH ROW EXECUTE FUNCTION refuse_change('cancel it instead: padelops cancel ID');
CREATE TRIGGER claims_no_truncate BEFORE TRUNCATE ON claims
    EXECUTE FUNCTION refuse_change('cancel them instead: padelops cancel ID');

-- --- claims keep their history --------------------------------------------------------------

-- The allowed moves are model.ALLOWED_MOVES; a test tries every pair on both sides.
CREATE FUNCTION keep_history() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
        ('pending', 'confirmed'), ('pending', 'cancelled'), ('pending', 'expired'),
        ('confirmed', 'cancelled'), ('confirmed', 'completed'), ('confirmed', 'no_show'),
        ('expired', 'confirmed')
    ) THEN
        RAISE EXCEPTION 'claim % may not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'claims_allowed_moves', TABLE = 'claims';
    END IF;
    IF (NEW.id, NEW.club_id, NEW.court_id, NEW.kind, NEW.starts_at, NEW.ends_at, NEW.free_at, NEW.created_at)
        IS DISTINCT FROM
       (OLD.id, OLD.club_id, OLD.court_id, OLD.kind, OLD.starts_at, OLD.ends_at, OLD.free_at, OLD.created_at)
       OR (NEW.currency, NEW.total, NEW.lines, NEW.price_source, NEW.tariff_id, NEW.policy_id, NEW.member_tier,
           NEW.payment_method, NEW.idempotency_key, NEW.request_digest, NEW.external_ref)
        IS DISTINCT FROM
          (OLD.currency, OLD.total, OLD.lines, OLD.price_source, OLD.tariff_id, OLD.policy_id, OLD.member_tier,
           OLD.payment_method, OLD.idempotency_key, OLD.request_digest, OLD.external_ref)
    THEN
        RAISE EXCEPTION 'claim %: court, time and terms are frozen; cancel it and book again', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'claims_terms_frozen', TABLE = 'claims';
    END IF;
    -- One level deeper stands the trigger of payment_events, which alone may move amounts.
    IF (NEW.captured, NEW.refunded) IS DISTINCT FROM (OLD.captured, OLD.refunded) AND pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'claim %: amounts follow from payment_events; insert one', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'claims_money_by_events', TABLE = 'claims';
    END IF;
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER claims_keep_their_history BEFORE UPDATE ON claims
    FOR EACH ROW EXECUTE FUNCTION keep_history();

CREATE FUNCTION count_version() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER clubs_count_version BEFORE UPDATE ON clubs FOR EACH ROW EXECUTE FUNCTION count_version();
CREATE TRIGGER courts_count_version BEFORE UPDATE ON courts FOR EACH ROW EXECUTE FUNCTION count_version();

CREATE TRIGGER claims_recorded AFTER INSERT OR UPDATE ON claims
    FOR EACH ROW EXECUTE FUNCTION record_change('', 'player_name', 'player_email', 'player_phone', 'notes');
CREATE TRIGGER clubs_recorded AFTER INSERT OR UPDATE ON clubs
    FOR EACH ROW EXECUTE FUNCTION record_change('club');
CREATE TRIGGER courts_recorded AFTER INSERT OR UPDATE ON courts
    FOR EACH ROW EXECUTE FUNCTION record_change('court');

-- Who is told what: a confirmed or cancelled reservation has its message, committed with it.
-- Imported history was announced by the system it comes from; a block has nobody to tell.
CREATE FUNCTION queue_message() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO messages (club_id, claim_id, kind, dedupe_key)
    VALUES (NEW.club_id, NEW.id, CASE NEW.status WHEN 'confirmed' THEN 'confirmation' ELSE 'cancellation' END,
            NEW.status || ':' || NEW.id)
    ON CONFLICT (club_id, dedupe_key) DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER claims_announced_new AFTER INSERT ON claims FOR EACH ROW
    WHEN (NEW.kind = 'reservation' AND NEW.status IN ('confirmed', 'cancelled') AND NEW.price_source <> 'imported')
    EXECUTE FUNCTION queue_message();
CREATE TRIGGER claims_announced_change AFTER UPDATE OF status ON claims FOR EACH ROW
    WHEN (NEW.kind = 'reservation' AND NEW.status <> OLD.status AND NEW.status IN ('confirmed', 'cancelled'))
    EXECUTE FUNCTION queue_message();

-- Amounts on a claim derive from its payment events, and from nothing else.
CREATE FUNCTION apply_payment_event() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE claims
       SET captured = captured + CASE NEW.kind WHEN 'captured' THEN NEW.amount ELSE 0 END,
           refunded = refunded + CASE NEW.kind WHEN 'refunded' THEN NEW.amount ELSE 0 END,
           payment_status = CASE
               WHEN NEW.kind = 'captured' THEN 'paid'
               WHEN refunded + NEW.amount >= refund_due THEN 'refunded'
               ELSE 'partly_refunded' END
     WHERE id = NEW.claim_id AND club_id = NEW.club_id AND kind = 'reservation';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'claim % of club % is not a reservation', NEW.claim_id, NEW.club_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_events_of_reservation', TABLE = 'payment_events';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER payment_events_applied AFTER INSERT ON payment_events
    FOR EACH ROW WHEN (NEW.gateway <> 'imported') EXECUTE FUNCTION apply_payment_event();

-- An import brings a hundred thousand events. Applied one by one they cost three times as much as
-- all together: each UPDATE sets up every check and index of claims anew.
CREATE FUNCTION apply_imported_events() RETURNS trigger
    LANGUAGE plpgsql
    -- Claims are looked up by id, one by one: the plan is made while the table is still empty and
    -- kept, and reading all of a club's claims once for each batch is quadratic.
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_seqscan = off
    AS $$
DECLARE
    wanted  bigint;
    applied bigint;
BEGIN
    SELECT count(DISTINCT claim_id) INTO wanted FROM events WHERE gateway = 'imported';
    IF wanted = 0 THEN
        RETURN NULL;
    END IF;
    UPDATE claims
       SET captured = claims.captured + added.captured,
           refunded = claims.refunded + added.refunded,
           payment_status = CASE
               WHEN added.refunded = 0 THEN 'paid'
               WHEN claims.refunded + added.refunded >= claims.refund_due THEN 'refunded'
               ELSE 'partly_refunded' END
      FROM (
        SELECT club_id, claim_id, coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0) AS captured,
               coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0) AS refunded
          FROM events WHERE gateway = 'imported' GROUP BY club_id, claim_id
      ) AS added
     WHERE claims.id = added.claim_id AND claims.club_id = added.club_id AND claims.kind = 'reservation';
    GET DIAGNOSTICS applied = ROW_COUNT;
    IF applied <> wanted OR EXISTS (
        SELECT FROM events WHERE gateway = 'imported' AND kind NOT IN ('captured', 'refunded')
    ) THEN
        RAISE EXCEPTION 'an imported payment event is neither a capture nor a refund of a reservation'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_events_of_reservation', TABLE = 'payment_events';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER payment_events_imported AFTER INSERT ON payment_events
    REFERENCING NEW TABLE AS events FOR EACH STATEMENT EXECUTE FUNCTION apply_imported_events();

-- --- imports, cache, counts -----------------------------------------------------------------

-- Rows of an import that would break an invariant: kept whole, with the reason, until they fit.
CREATE TABLE quarantine (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source       text NOT NULL,
    model        text NOT NULL,
    -- Where `external_ref` is unique: everywhere (''), or within the club of this slug.
    scope        text NOT NULL DEFAULT '',
    external_ref text NOT NULL,
    -- Not jsonb: that refuses \u0000 and huge numbers, and a bad row is kept letter by letter.
    record       json NOT NULL,
    context      jsonb NOT NULL DEFAULT '{}',
    reason       text NOT NULL,
    detail       text NOT NULL,
    clashes_with jsonb NOT NULL DEFAULT '[]',
    created_at   timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    CONSTRAINT quarantine_one_per_row UNIQUE (model, scope, external_ref)
);
CREATE INDEX quarantine_open ON quarantine (id) WHERE resolved_at IS NULL;
-- A block that was lifted here stays lifted when its file is imported again.
CREATE INDEX claims_blocks_by_ref ON claims (club_id, external_ref)
    WHERE kind = 'block' AND external_ref IS NOT NULL;

-- The cache may be lost at any time (UNLOGGED): each value carries the stamp of the rows it was
-- computed from, and is only used while that stamp is still true.
CREATE UNLOGGED TABLE cache_entries (
    key        text PRIMARY KEY,
    stamp      text NOT NULL,
    value      text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX cache_entries_by_expiry ON cache_entries (expires_at);

-- Operation counts, gathered in each process and added here per minute.
CREATE TABLE counters (
    minute timestamptz NOT NULL,
    name   text NOT NULL,
    n      bigint NOT NULL,
    PRIMARY KEY (minute, name)
);
