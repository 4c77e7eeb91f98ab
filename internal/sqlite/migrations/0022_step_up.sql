-- signin: what a provider says of factors, and proving again who one is there.
ALTER TABLE providers ADD COLUMN trust_factor INTEGER NOT NULL DEFAULT 0;

-- As before, with another purpose. Who was under way begins again.
DROP TABLE signin_flows;
CREATE TABLE signin_flows (
    state_hash   BLOB PRIMARY KEY,
    browser_hash BLOB NOT NULL,
    provider_id  TEXT NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
    version      INTEGER NOT NULL,
    purpose      TEXT NOT NULL CHECK (purpose IN ('sign-in', 'link', 'test', 'step-up')),
    person_id    TEXT NOT NULL DEFAULT '',
    session_id   TEXT NOT NULL DEFAULT '',
    return_to    TEXT NOT NULL DEFAULT '',
    strength     TEXT NOT NULL DEFAULT '', -- what a step-up is to come to
    expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX signin_flows_by_expiry ON signin_flows (expires_at);
