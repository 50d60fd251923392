-- Card payments: attempts, refunds, what happened to the money, and the gateway's webhooks.
--
-- Each attempt is committed before the gateway is asked, and carries the reference that the gateway
-- stores with the payment. So whatever dies, whoever looks next can ask what became of it.

-- More can happen to a card payment than to cash. Amounts still derive from events alone.
ALTER TABLE payment_events DROP CONSTRAINT payment_events_kind_known;
ALTER TABLE payment_events ADD CONSTRAINT payment_events_kind_known CHECK (kind IN (
    'authorized', 'declined', 'unknown', 'queued', 'voided', 'captured', 'capture_failed', 'refunded', 'refund_failed'
));

-- One question to the gateway about one reservation's money.
CREATE TABLE payment_attempts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    club_id       bigint NOT NULL REFERENCES clubs,
    claim_id      bigint NOT NULL REFERENCES claims,
    reference     text NOT NULL,
    gateway       text NOT NULL,
    gateway_ref   text,
    card          text NOT NULL,
    currency      text NOT NULL,
    amount        numeric NOT NULL,
    state         text NOT NULL DEFAULT 'started',
    -- The outbox: what is to be done next, when, and how often it was tried.
    next_step     text,
    next_step_at  timestamptz,
    -- What a review lets go on: without it, "retry" could take what was to be let go.
    review_of     text,
    tries         integer NOT NULL DEFAULT 0,
    last_error    text,
    -- When the gateway was asked, by the asker's clock: for a while it may still be working on it.
    asked_at      timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    version       integer NOT NULL DEFAULT 1,
    CONSTRAINT payment_attempts_one_per_reference UNIQUE (reference),
    CONSTRAINT payment_attempts_state_known CHECK (state IN (
        'queued', 'started', 'unknown', 'authorized', 'captured', 'voided', 'declined', 'never_arrived'
    )),
    CONSTRAINT payment_attempts_step_known CHECK (next_step IN ('reconcile', 'capture', 'void', 'review')),
    CONSTRAINT payment_attempts_review_known CHECK (review_of IN ('reconcile', 'capture', 'void')),
    CONSTRAINT payment_attempts_step_has_time CHECK ((next_step IS NULL) = (next_step_at IS NULL)),
    CONSTRAINT payment_attempts_amount_positive CHECK (amount > 0 AND amount <= 1000000000),
    CONSTRAINT payment_attempts_texts_bounded CHECK (length(card) <= 200 AND length(last_error) <= 1000)
);
-- Never two charges under way for one reservation.
CREATE UNIQUE INDEX payment_attempts_one_open ON payment_attempts (claim_id)
    WHERE state IN ('queued', 'started', 'unknown', 'authorized', 'captured');
CREATE INDEX payment_attempts_by_claim ON payment_attempts (claim_id);
CREATE INDEX payment_attempts_due ON payment_attempts (next_step_at) WHERE next_step IS NOT NULL;

-- Money on its way back, with a state of its own.
CREATE TABLE refunds (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    club_id      bigint NOT NULL REFERENCES clubs,
    claim_id     bigint NOT NULL REFERENCES claims,
    attempt_id   bigint NOT NULL REFERENCES payment_attempts,
    reference    text NOT NULL,
    amount       numeric NOT NULL,
    state        text NOT NULL DEFAULT 'due',
    gateway_ref  text,
    due_at       timestamptz NOT NULL DEFAULT now(),
    tries        integer NOT NULL DEFAULT 0,
    last_error   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    version      integer NOT NULL DEFAULT 1,
    CONSTRAINT refunds_one_per_reference UNIQUE (reference),
    CONSTRAINT refunds_one_per_claim UNIQUE (claim_id),
    CONSTRAINT refunds_state_known CHECK (state IN ('due', 'unknown', 'done', 'failed', 'dropped')),
    CONSTRAINT refunds_amount_positive CHECK (amount > 0),
    CONSTRAINT refunds_texts_bounded CHECK (length(last_error) <= 1000)
);
CREATE INDEX refunds_open ON refunds (due_at) WHERE state IN ('due', 'unknown');

-- The inbox of webhooks: each event once, whoever repeats it.
CREATE TABLE gateway_events (
    gateway     text NOT NULL,
    event_id    text NOT NULL,
    kind        text NOT NULL,
    reference   text,
    club_id     bigint REFERENCES clubs,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway, event_id)
);

-- Which worker is at which step, until when. Lost in a crash, like the workers themselves.
CREATE UNLOGGED TABLE leases (
    kind       text NOT NULL,
    subject_id bigint NOT NULL,
    holder     text NOT NULL,
    until      timestamptz NOT NULL,
    PRIMARY KEY (kind, subject_id)
);

-- Who is at work, so that a silent worker shows.
CREATE TABLE worker_heartbeats (
    worker     text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    at         timestamptz NOT NULL,
    done       bigint NOT NULL DEFAULT 0
);

CREATE TRIGGER payment_attempts_count_version BEFORE UPDATE ON payment_attempts
    FOR EACH ROW EXECUTE FUNCTION count_version();
CREATE TRIGGER refunds_count_version BEFORE UPDATE ON refunds
    FOR EACH ROW EXECUTE FUNCTION count_version();

-- The token of a card is nobody's business.
CREATE TRIGGER payment_attempts_recorded AFTER INSERT OR UPDATE ON payment_attempts
    FOR EACH ROW EXECUTE FUNCTION record_change('payment', 'card');
CREATE TRIGGER refunds_recorded AFTER INSERT OR UPDATE ON refunds
    FOR EACH ROW EXECUTE FUNCTION record_change('refund');
CREATE TRIGGER payment_attempts_no_delete BEFORE DELETE ON payment_attempts
    FOR EACH ROW EXECUTE FUNCTION refuse_change('what was asked of a gateway is never deleted');
CREATE TRIGGER refunds_no_delete BEFORE DELETE ON refunds
    FOR EACH ROW EXECUTE FUNCTION refuse_change('a refund is never deleted');

-- Only captured and refunded move amounts; the other events say where the payment stands.
CREATE OR REPLACE FUNCTION apply_payment_event() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE claims
       SET captured = captured + CASE NEW.kind WHEN 'captured' THEN NEW.amount ELSE 0 END,
           refunded = refunded + CASE NEW.kind WHEN 'refunded' THEN NEW.amount ELSE 0 END,
           payment_status = CASE NEW.kind
               WHEN 'authorized' THEN 'authorized'
               WHEN 'declined' THEN 'declined'
               WHEN 'unknown' THEN 'payment_unknown'
               WHEN 'queued' THEN 'queued'
               WHEN 'voided' THEN 'voided'
               WHEN 'captured' THEN CASE WHEN status = 'cancelled' AND refund_due > 0 THEN 'refund_due' ELSE 'paid' END
               WHEN 'capture_failed' THEN 'due'
               WHEN 'refunded' THEN CASE WHEN refunded + NEW.amount >= refund_due THEN 'refunded' ELSE 'partly_refunded' END
               ELSE payment_status END
     WHERE id = NEW.claim_id AND club_id = NEW.club_id AND kind = 'reservation';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'claim % of club % is not a reservation', NEW.claim_id, NEW.club_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_events_of_reservation', TABLE = 'payment_events';
    END IF;
    RETURN NULL;
END
$$;
