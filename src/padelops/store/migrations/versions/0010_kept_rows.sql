-- What is never deleted, by whomever, for want of a row that refers to it.
--
-- A message says that somebody was told; an event in the inbox, that it was taken in; a quarantined row
-- is one that an import must not lose. Clubs and courts are what the audit trail speaks of. Personal
-- data stands in columns that may be emptied: padelops erase.

CREATE TRIGGER messages_no_delete BEFORE DELETE ON messages
    FOR EACH ROW EXECUTE FUNCTION refuse_change('it says who was told what');
CREATE TRIGGER messages_no_truncate BEFORE TRUNCATE ON messages
    EXECUTE FUNCTION refuse_change('they say who was told what');
CREATE TRIGGER clubs_no_delete BEFORE DELETE ON clubs
    FOR EACH ROW EXECUTE FUNCTION refuse_change('take its courts out of service instead: padelops club apply');
CREATE TRIGGER clubs_no_truncate BEFORE TRUNCATE ON clubs
    EXECUTE FUNCTION refuse_change('take their courts out of service instead: padelops club apply');
CREATE TRIGGER courts_no_delete BEFORE DELETE ON courts
    FOR EACH ROW EXECUTE FUNCTION refuse_change('take it out of service instead: padelops club apply');
CREATE TRIGGER courts_no_truncate BEFORE TRUNCATE ON courts
    EXECUTE FUNCTION refuse_change('take them out of service instead: padelops club apply');
CREATE TRIGGER tariffs_no_truncate BEFORE TRUNCATE ON tariffs
    EXECUTE FUNCTION refuse_change('terms are frozen; apply the club again to make new ones');
CREATE TRIGGER policies_no_truncate BEFORE TRUNCATE ON policies
    EXECUTE FUNCTION refuse_change('terms are frozen; apply the club again to make new ones');
CREATE TRIGGER payment_attempts_no_truncate BEFORE TRUNCATE ON payment_attempts
    EXECUTE FUNCTION refuse_change('what was asked of a gateway is never deleted');
CREATE TRIGGER refunds_no_truncate BEFORE TRUNCATE ON refunds
    EXECUTE FUNCTION refuse_change('a refund is never deleted');
CREATE TRIGGER gateway_events_no_delete BEFORE DELETE ON gateway_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change('what was taken in once would be taken in again');
CREATE TRIGGER gateway_events_no_truncate BEFORE TRUNCATE ON gateway_events
    EXECUTE FUNCTION refuse_change('what was taken in once would be taken in again');
CREATE TRIGGER quarantine_no_delete BEFORE DELETE ON quarantine
    FOR EACH ROW EXECUTE FUNCTION refuse_change('nothing of an import is lost; import --retry, or padelops erase');
CREATE TRIGGER quarantine_no_truncate BEFORE TRUNCATE ON quarantine
    EXECUTE FUNCTION refuse_change('nothing of an import is lost; import --retry, or padelops erase');
