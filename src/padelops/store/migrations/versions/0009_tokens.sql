-- Who may come in through the HTTP door, as what. The secret itself is nowhere: `digest` is its SHA-256,
-- which is enough for a secret of 256 random bits.

CREATE TABLE api_tokens (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What stands in the token before its secret: to find it by, and for people to name it by.
    handle              text NOT NULL,
    digest              bytea NOT NULL,
    name                text NOT NULL,
    role                text NOT NULL,
    status              text NOT NULL DEFAULT 'active',
    club_id             bigint REFERENCES clubs,
    player_email        text,
    member_tier         text,
    bookings_per_minute integer,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at          timestamptz,
    revoked_at          timestamptz,
    version             integer NOT NULL DEFAULT 1,
    CONSTRAINT api_tokens_one_per_handle UNIQUE (handle),
    CONSTRAINT api_tokens_role_known CHECK (role IN ('member', 'staff', 'operator')),
    CONSTRAINT api_tokens_status_known CHECK (status IN ('active', 'revoked') AND (status = 'revoked') = (revoked_at IS NOT NULL)),
    -- A member is known by an address, staff belong to a club, and an operator is bound by neither.
    CONSTRAINT api_tokens_scope_fits_role CHECK (
        (role = 'member') = (player_email IS NOT NULL)
        AND (role <> 'staff' OR club_id IS NOT NULL)
        AND (role <> 'operator' OR club_id IS NULL)
        AND (member_tier IS NULL OR role = 'member')
    ),
    CONSTRAINT api_tokens_rate_positive CHECK (bookings_per_minute > 0),
    CONSTRAINT api_tokens_texts_bounded CHECK (
        length(handle) = 12 AND length(digest) = 32 AND length(name) BETWEEN 1 AND 100
        AND length(player_email) <= 254 AND length(member_tier) <= 100
    )
);

CREATE FUNCTION keep_token() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.status = 'revoked'
       OR (NEW.id, NEW.handle, NEW.digest, NEW.role, NEW.club_id, NEW.player_email, NEW.member_tier)
          IS DISTINCT FROM
          (OLD.id, OLD.handle, OLD.digest, OLD.role, OLD.club_id, OLD.player_email, OLD.member_tier)
    THEN
        RAISE EXCEPTION 'token %: what it permits is frozen; revoke it and create another', OLD.handle
            USING ERRCODE = 'check_violation', CONSTRAINT = 'api_tokens_frozen', TABLE = 'api_tokens';
    END IF;
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER api_tokens_kept BEFORE UPDATE ON api_tokens FOR EACH ROW EXECUTE FUNCTION keep_token();
CREATE TRIGGER api_tokens_recorded AFTER INSERT OR UPDATE ON api_tokens
    FOR EACH ROW EXECUTE FUNCTION record_change('token', 'player_email', 'digest');
CREATE TRIGGER api_tokens_no_delete BEFORE DELETE ON api_tokens
    FOR EACH ROW EXECUTE FUNCTION refuse_change('revoke it instead: padelops token revoke HANDLE');
CREATE TRIGGER api_tokens_no_truncate BEFORE TRUNCATE ON api_tokens
    EXECUTE FUNCTION refuse_change('revoke them instead: padelops token revoke HANDLE');
