-- A member's token can be erased with the member: then it is revoked, and says 'erased' for name and address.
-- The trail no longer keeps a token's name, which may be a person's.

CREATE OR REPLACE FUNCTION keep_token() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (NEW.id, NEW.handle, NEW.digest, NEW.role, NEW.club_id, NEW.member_tier, NEW.bookings_per_minute,
        NEW.created_at, NEW.expires_at)
       IS DISTINCT FROM
       (OLD.id, OLD.handle, OLD.digest, OLD.role, OLD.club_id, OLD.member_tier, OLD.bookings_per_minute,
        OLD.created_at, OLD.expires_at)
       OR (OLD.status = 'revoked' AND (NEW.status, NEW.revoked_at) IS DISTINCT FROM (OLD.status, OLD.revoked_at))
       OR ((NEW.name, NEW.player_email) IS DISTINCT FROM (OLD.name, OLD.player_email)
           AND (NEW.name, NEW.player_email, NEW.status) IS DISTINCT FROM ('erased', 'erased', 'revoked'))
    THEN
        RAISE EXCEPTION 'token %: what it permits is frozen; revoke it and create another', OLD.handle
            USING ERRCODE = 'check_violation', CONSTRAINT = 'api_tokens_frozen', TABLE = 'api_tokens';
    END IF;
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

DROP TRIGGER api_tokens_recorded ON api_tokens;
CREATE TRIGGER api_tokens_recorded AFTER INSERT OR UPDATE ON api_tokens
    FOR EACH ROW EXECUTE FUNCTION record_change('token', 'name', 'player_email', 'digest');
