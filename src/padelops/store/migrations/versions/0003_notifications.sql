-- Messages on their way: attempts, channels, reminders.
--
-- A worker holds one message at a time. Taking it commits before anything is sent, and what became
-- of it is a second commit; `lease` counts the takings, so that only its holder may say what became
-- of it. A lease that ran out means that a worker may have sent the message without telling: a doubt.

ALTER TABLE messages DROP CONSTRAINT messages_kind_known;
ALTER TABLE messages
    ADD COLUMN attempts        integer NOT NULL DEFAULT 0,
    ADD COLUMN next_attempt_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN attempted_at    timestamptz,
    ADD COLUMN lease           bigint NOT NULL DEFAULT 0,
    ADD COLUMN claimed_by      text,
    ADD COLUMN claimed_until   timestamptz,
    ADD COLUMN doubts          integer NOT NULL DEFAULT 0,
    ADD COLUMN channel         text,
    ADD COLUMN language        text,
    ADD COLUMN delivered_at    timestamptz,
    -- What the other side called it (a queue id, a file): where to look when somebody never got it.
    ADD COLUMN receipt         text,
    -- Why it failed, was skipped or waits: a word for programs, and a line without personal data.
    ADD COLUMN reason          text,
    ADD COLUMN detail          text,
    ADD CONSTRAINT messages_kind_known CHECK (kind IN (
        'confirmation', 'cancellation', 'reminder', 'payment_pending', 'payment_failed', 'late_money_refunded'
    )),
    ADD CONSTRAINT messages_counts_positive CHECK (attempts >= 0 AND lease >= 0 AND doubts >= 0),
    ADD CONSTRAINT messages_times_finite CHECK (
        isfinite(due_at) AND isfinite(created_at) AND isfinite(next_attempt_at) AND isfinite(attempted_at)
        AND isfinite(claimed_until) AND isfinite(delivered_at)
    ),
    ADD CONSTRAINT messages_claim_is_whole CHECK ((claimed_by IS NULL) = (claimed_until IS NULL)),
    ADD CONSTRAINT messages_delivery_has_time CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
    ADD CONSTRAINT messages_end_has_reason CHECK (state NOT IN ('failed', 'skipped') OR reason IS NOT NULL),
    ADD CONSTRAINT messages_texts_bounded CHECK (
        length(claimed_by) <= 200 AND length(channel) <= 40 AND length(language) <= 10 AND length(receipt) <= 300
        AND length(reason) <= 40 AND length(detail) <= 300
    );

-- Reminders all fall due with the end of the quiet hours; whoever books then must not queue behind
-- them, so they have a queue of their own that is only asked when the other one is empty.
DROP INDEX messages_queue;
CREATE INDEX messages_queue ON messages (next_attempt_at, id) WHERE state = 'queued' AND kind <> 'reminder';
CREATE INDEX messages_queue_of_reminders ON messages (next_attempt_at, id)
    WHERE state = 'queued' AND kind = 'reminder';
-- The daily report reads a stretch of due_at; rows arrive nearly in that order, so a few pages do.
CREATE INDEX messages_by_due ON messages USING brin (due_at) WITH (pages_per_range = 32, autosummarize = on);
-- What failed is looked for by people, now and then.
CREATE INDEX messages_failed ON messages (club_id, id) WHERE state = 'failed';

-- Each row is updated twice on its way: room on its page saves the indexes a write.
ALTER TABLE messages SET (fillfactor = 80);

-- One key, at most one delivery recorded: what was delivered stays delivered, and a message keeps
-- what it is about.
CREATE FUNCTION refuse_message_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'message %: a delivered message stays delivered, and none changes what it is about', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'messages_keep_their_history', TABLE = 'messages';
END
$$;

CREATE TRIGGER messages_keep_their_history BEFORE UPDATE ON messages
    FOR EACH ROW WHEN (
        (OLD.state = 'delivered' AND NEW.state <> 'delivered')
        OR (OLD.club_id, OLD.claim_id, OLD.kind, OLD.dedupe_key)
           IS DISTINCT FROM (NEW.club_id, NEW.claim_id, NEW.kind, NEW.dedupe_key)
    )
    EXECUTE FUNCTION refuse_message_change();
