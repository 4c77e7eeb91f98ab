-- vault: what a provider gave to act there on somebody's behalf, one for each
-- identity. Its slot is (provider, first 16 hex of SHA-256 of the external id);
-- the tokens are sealed to whom they are of, and to issuer and client.
CREATE TABLE grants (
    provider    TEXT NOT NULL REFERENCES providers (slug) ON UPDATE CASCADE ON DELETE CASCADE,
    name        TEXT NOT NULL,
    identity_id TEXT NOT NULL UNIQUE REFERENCES identities (id) ON DELETE CASCADE,
    external_id TEXT NOT NULL,
    version     INTEGER NOT NULL, -- counts what was kept; a swap is held to it
    sealed      BLOB,             -- NULL once the grant has ended
    renewable   INTEGER NOT NULL,
    expires_at  INTEGER,          -- of the access token; NULL when the provider does not say
    claimed_at  INTEGER,          -- since when one refresh is under way
    ended       TEXT NOT NULL DEFAULT '', -- why, in words
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (provider, name)
) STRICT, WITHOUT ROWID;
