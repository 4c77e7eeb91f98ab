-- signin: the providers, and the sign-ins that are under way at one.
CREATE TABLE providers (
    id              TEXT PRIMARY KEY,
    slug            TEXT NOT NULL UNIQUE,
    preset          TEXT NOT NULL,
    label           TEXT NOT NULL,
    position        INTEGER NOT NULL,
    enabled         INTEGER NOT NULL,
    issuer          TEXT NOT NULL,
    pinned_issuer   TEXT NOT NULL DEFAULT '',
    client_id       TEXT NOT NULL,
    has_secret      INTEGER NOT NULL,
    scopes          TEXT NOT NULL,
    claims          TEXT NOT NULL,
    create_people   INTEGER NOT NULL,
    allowed_domains TEXT NOT NULL,
    allowed_groups  TEXT NOT NULL,
    group_prefix    TEXT,
    sign_out        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT;

-- A browser on its way to a provider and back. Of the state in its address and
-- of the secret in its cookie only digests are kept; nonce and PKCE verifier
-- are made of both and kept nowhere.
CREATE TABLE signin_flows (
    state_hash   BLOB PRIMARY KEY,
    browser_hash BLOB NOT NULL,
    provider_id  TEXT NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
    version      INTEGER NOT NULL,
    purpose      TEXT NOT NULL CHECK (purpose IN ('sign-in', 'link', 'test')),
    person_id    TEXT NOT NULL DEFAULT '',
    session_id   TEXT NOT NULL DEFAULT '',
    return_to    TEXT NOT NULL DEFAULT '',
    expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX signin_flows_by_expiry ON signin_flows (expires_at);

-- The logout tokens that were taken, so that none is taken twice.
CREATE TABLE signin_logouts (
    provider_id TEXT NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
    token_hash  BLOB NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (provider_id, token_hash)
) STRICT;
