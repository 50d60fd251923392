-- Imported reservations come with their amounts, and their events must say the same.
--
-- Until now they came with nothing, and the events of a batch moved their amounts: a second version, a
-- second audit entry and every index of claims once more for each paid row, half of an import's time.

-- What was paid in the old system and what is paid here are two captures; here there is one at the most.
DROP INDEX payment_events_one_capture;
CREATE UNIQUE INDEX payment_events_one_capture ON payment_events (claim_id)
    WHERE kind = 'captured' AND gateway <> 'imported';
CREATE UNIQUE INDEX payment_events_one_imported_capture ON payment_events (claim_id)
    WHERE kind = 'captured' AND gateway = 'imported';

-- What an import brought is looked up by its reference. The reference comes first in the index: a club
-- that has only just come is none that the planner has heard of, and reading all of its claims for each
-- row looked as cheap to it as one look-up, which was quadratic.
DROP INDEX claims_one_per_external_ref, claims_blocks_by_ref;
CREATE UNIQUE INDEX claims_one_per_external_ref ON claims (external_ref, club_id)
    WHERE external_ref IS NOT NULL AND (kind = 'reservation' OR status = 'confirmed');
CREATE INDEX claims_blocks_by_ref ON claims (external_ref, club_id)
    WHERE kind = 'block' AND external_ref IS NOT NULL;

CREATE FUNCTION require_events_of(claim_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    -- Events are looked up claim by claim: a plan made while the table was empty would be kept, and
    -- reading all of it once for each batch is quadratic.
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_seqscan = off
    AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT asked.id INTO wrong
      FROM unnest(claim_ids) AS asked (id)
      LEFT JOIN claims ON claims.id = asked.id AND claims.kind = 'reservation'
     CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount) FILTER (WHERE events.kind = 'captured'), 0) AS captured,
               coalesce(sum(amount) FILTER (WHERE events.kind = 'refunded'), 0) AS refunded,
               coalesce(bool_or(events.club_id <> claims.club_id), false) AS strange
          FROM payment_events AS events WHERE events.claim_id = asked.id
     ) AS told
     WHERE (claims.captured, claims.refunded) IS DISTINCT FROM (told.captured, told.refunded) OR told.strange
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'claim %: its amounts are not what its payment events add up to', wrong
            USING ERRCODE = 'check_violation', CONSTRAINT = 'claims_money_by_events', TABLE = 'claims';
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION apply_imported_events() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF EXISTS (SELECT FROM events WHERE gateway = 'imported') THEN
        PERFORM require_events_of(ARRAY(SELECT DISTINCT claim_id FROM events WHERE gateway = 'imported'));
    END IF;
    RETURN NULL;
END
$$;

-- A claim that is inserted with amounts has its events by the end of its transaction.
CREATE FUNCTION require_events() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM require_events_of(ARRAY[NEW.id]);
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER claims_amounts_have_events AFTER INSERT ON claims
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.captured <> 0 OR NEW.refunded <> 0)
    EXECUTE FUNCTION require_events();
