-- The sandbox gateway's ledger: another company's books, kept here so that nothing needs setting up.
--
-- The core knows nothing of these tables and they know nothing of the core's; no transaction writes
-- both. What really happened to a card is written here, so it can be compared with what the core believes.

CREATE TABLE sandbox_payments (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference    text NOT NULL,
    status       text NOT NULL,
    currency     text NOT NULL,
    amount       numeric NOT NULL,
    captured     numeric NOT NULL DEFAULT 0,
    refunded     numeric NOT NULL DEFAULT 0,
    card         text NOT NULL,
    decline_code text,
    created_at   timestamptz NOT NULL,
    CONSTRAINT sandbox_payments_status_known CHECK (status IN ('authorized', 'captured', 'voided', 'failed')),
    CONSTRAINT sandbox_payments_amounts_agree CHECK (
        amount > 0 AND captured BETWEEN 0 AND amount AND refunded BETWEEN 0 AND captured
    ),
    CONSTRAINT sandbox_payments_taken_when_captured CHECK ((captured > 0) = (status = 'captured')),
    CONSTRAINT sandbox_payments_texts_bounded CHECK (length(reference) BETWEEN 1 AND 255 AND length(card) <= 255)
);
-- Not unique: a card declined and tried again has two, and a core that charges twice must show here.
CREATE INDEX sandbox_payments_by_reference ON sandbox_payments (reference);

CREATE TABLE sandbox_refunds (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id bigint NOT NULL REFERENCES sandbox_payments,
    reference  text NOT NULL,
    amount     numeric NOT NULL,
    failed     boolean NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT sandbox_refunds_one_per_reference UNIQUE (payment_id, reference),
    CONSTRAINT sandbox_refunds_amount_positive CHECK (amount > 0),
    CONSTRAINT sandbox_refunds_texts_bounded CHECK (length(reference) BETWEEN 1 AND 255)
);

-- Each idempotency key with what it was used for and what was answered.
CREATE TABLE sandbox_requests (
    key        text PRIMARY KEY,
    digest     text NOT NULL,
    answer     jsonb,
    created_at timestamptz NOT NULL,
    CONSTRAINT sandbox_requests_texts_bounded CHECK (length(key) BETWEEN 1 AND 255)
);

-- What is to go wrong, how often (NULL: until cleared), and how often it did.
CREATE TABLE sandbox_faults (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation  text NOT NULL,
    kind       text NOT NULL,
    latency_ms integer,
    remaining  integer,
    fired      integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    CONSTRAINT sandbox_faults_remaining_counts CHECK (remaining >= 0)
);

-- What happened, for webhooks; numbered in the order in which it happened to each payment.
CREATE TABLE sandbox_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    payment_id bigint NOT NULL REFERENCES sandbox_payments,
    created_at timestamptz NOT NULL,
    sent       integer NOT NULL DEFAULT 0
);
CREATE INDEX sandbox_events_unsent ON sandbox_events (id) WHERE sent = 0;
