-- One state of each circuit breaker for all processes, who changed it and why, and what each process
-- has counted lately.

-- A row appears with a breaker's first change; without one it is closed and never was anything else.
CREATE TABLE breakers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    state      text NOT NULL,
    reason     text NOT NULL,
    actor      text NOT NULL DEFAULT session_user,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retry_at   timestamptz,
    generation bigint NOT NULL DEFAULT 1,
    leases     jsonb NOT NULL DEFAULT '[]',
    successes  integer NOT NULL DEFAULT 0,
    -- Unique to each stored version: a process replaces only the version that it knows.
    stamp      text NOT NULL DEFAULT gen_random_uuid(),
    -- Counts what the audit trail has an entry for.
    version    integer NOT NULL DEFAULT 1,
    CONSTRAINT breakers_one_per_name UNIQUE (name),
    CONSTRAINT breakers_name_is_plain CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    CONSTRAINT breakers_state_known
        CHECK (state IN ('closed', 'open', 'half_open', 'forced_open', 'forced_closed')),
    CONSTRAINT breakers_texts_bounded CHECK (
        length(reason) <= 500 AND length(actor) BETWEEN 1 AND 500 AND length(stamp) BETWEEN 1 AND 100
    ),
    CONSTRAINT breakers_counts_grow CHECK (generation >= 0 AND successes >= 0),
    CONSTRAINT breakers_leases_are_a_list CHECK (jsonb_typeof(leases) = 'array')
) WITH (fillfactor = 50);

-- An engineer whose padelops does not start can still stop payments:
--     UPDATE breakers SET state = 'forced_open', reason = 'gateway migration' WHERE name = 'payment_processing';
-- A stamp that stays the same means such a hand. What else belongs to the change follows from it, so
-- that every process takes it over at its next look.
--
-- An outage is one story however often it is probed: open and half-open count as the same here, so
-- it leaves one entry when it begins and one when it is over. What a person does always leaves one.
CREATE FUNCTION follow_breaker() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.stamp = OLD.stamp THEN
        NEW.stamp := gen_random_uuid();
        NEW.actor := session_user;
        NEW.changed_at := clock_timestamp();
        NEW.generation := OLD.generation + 1;
        NEW.leases := '[]';
        NEW.successes := 0;
    END IF;
    NEW.version := OLD.version;
    IF (NEW.generation, NEW.state, NEW.changed_at) IS DISTINCT FROM (OLD.generation, OLD.state, OLD.changed_at)
       AND (NEW.actor <> 'breaker'
            OR replace(NEW.state, 'half_open', 'open') <> replace(OLD.state, 'half_open', 'open'))
    THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION record_breaker() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    origin record := audit_origin();
    before text := 'closed';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.version = OLD.version THEN
            RETURN NULL;
        END IF;
        before := OLD.state;
    END IF;
    INSERT INTO audit_entries (subject_kind, subject_id, version, action, actor, door, request_id, changes)
    VALUES ('breaker', NEW.id, NEW.version, NEW.state, origin.actor, origin.door, origin.request_id,
            jsonb_build_object('breaker', NEW.name, 'state', jsonb_build_array(before, NEW.state),
                               'reason', NEW.reason));
    RETURN NULL;
END
$$;

CREATE TRIGGER breakers_followed BEFORE UPDATE ON breakers
    FOR EACH ROW EXECUTE FUNCTION follow_breaker();
CREATE TRIGGER breakers_recorded AFTER INSERT OR UPDATE ON breakers
    FOR EACH ROW EXECUTE FUNCTION record_breaker();
CREATE TRIGGER breakers_no_delete BEFORE DELETE ON breakers
    FOR EACH ROW EXECUTE FUNCTION refuse_change('close it instead: padelops breakers close NAME');
CREATE TRIGGER breakers_no_truncate BEFORE TRUNCATE ON breakers
    EXECUTE FUNCTION refuse_change('close them instead: padelops breakers close NAME');

-- What each process counted in its window: whole numbers of now, replaced twice a second. Lost in a
-- crash (UNLOGGED), which costs nothing: the next half second brings them back. Never waits for a
-- disk or a standby. A report lapses with its window; whoever looks next removes it.
CREATE UNLOGGED TABLE breaker_reports (
    breaker    text NOT NULL,
    process    text NOT NULL,
    generation bigint NOT NULL,
    at         timestamptz NOT NULL,
    calls      bigint NOT NULL,
    failures   bigint NOT NULL,
    slow       bigint NOT NULL,
    PRIMARY KEY (breaker, process),
    CONSTRAINT breaker_reports_add_up CHECK (
        calls > 0 AND failures BETWEEN 0 AND calls AND slow BETWEEN 0 AND calls
    )
) WITH (fillfactor = 50);
