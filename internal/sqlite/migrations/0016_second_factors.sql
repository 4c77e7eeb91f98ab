-- factor: what proves a person beside the password.

-- Whether somebody has a second factor: a passkey, or codes from an app.
ALTER TABLE people ADD COLUMN second_factor INTEGER NOT NULL DEFAULT 0;

-- A credential of WebAuthn, as the library keeps it; the counter and the times
-- are the parts that change.
CREATE TABLE passkeys (
    id            TEXT PRIMARY KEY,
    person_id     TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    credential_id BLOB NOT NULL UNIQUE,
    record        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    last_used_at  INTEGER
) STRICT;
CREATE INDEX passkeys_by_person ON passkeys (person_id);

-- Codes from an app (RFC 6238). The secret is in slot ("berth/totp", person).
CREATE TABLE totp (
    person_id    TEXT PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    confirmed_at INTEGER, -- it counts from then
    last_used_at INTEGER,
    last_step    INTEGER NOT NULL DEFAULT 0 -- no code up to this one counts again
) STRICT;

CREATE TABLE recovery_codes (
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    code_hash BLOB NOT NULL,
    used_at   INTEGER,
    PRIMARY KEY (person_id, code_hash)
) STRICT;

-- A sign-in that is right so far and not enough: nobody's session.
CREATE TABLE sign_in_attempts (
    token_hash BLOB PRIMARY KEY,
    person_id  TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    proof      TEXT NOT NULL,
    stamp      BLOB NOT NULL, -- of the password as it was
    set_up     INTEGER NOT NULL, -- whether a factor is to be set up, as there is none
    tries      INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_in_attempts_by_person ON sign_in_attempts (person_id);
CREATE INDEX sign_in_attempts_by_expiry ON sign_in_attempts (expires_at);

-- What is still to be told a person about their factors.
CREATE TABLE factor_notices (
    person_id  TEXT PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    reset_by   TEXT NOT NULL DEFAULT '', -- an administrator who removed them all
    reset_at   INTEGER,
    declined_at INTEGER -- when they said no to the offer of a passkey
) STRICT;
