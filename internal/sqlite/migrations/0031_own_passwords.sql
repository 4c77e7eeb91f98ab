-- identity: whose account is Berth's own: made here, or given a password by an
-- administrator. It keeps the role that it was given here, and may be named as
-- local:NAME. Somebody else's does neither by a password that they set themselves.
ALTER TABLE people ADD COLUMN local INTEGER NOT NULL DEFAULT 0;
UPDATE people SET local = 1 WHERE password_hash IS NOT NULL;

-- vault: what a process had claimed as it died is found at the start without
-- reading every grant.
CREATE INDEX grants_claimed ON grants (claimed_at) WHERE claimed_at IS NOT NULL;
