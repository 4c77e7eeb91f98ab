-- identity: a person as a provider knows them.
CREATE TABLE identities (
    id              TEXT PRIMARY KEY,
    person_id       TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    provider        TEXT NOT NULL, -- the provider's name
    issuer          TEXT NOT NULL,
    external_id     TEXT NOT NULL, -- the provider's own, which never changes
    username        TEXT NOT NULL DEFAULT '',
    email           TEXT NOT NULL DEFAULT '',
    groups          TEXT NOT NULL DEFAULT '[]', -- JSON, as policies name them
    claims          TEXT NOT NULL DEFAULT '{}', -- JSON
    created_at      INTEGER NOT NULL,
    last_sign_in_at INTEGER,
    synced_at       INTEGER NOT NULL, -- when the provider last told of groups and claims
    UNIQUE (provider, issuer, external_id)
) STRICT;
CREATE INDEX identities_by_person ON identities (person_id);

-- identity: groups that Berth keeps itself.
CREATE TABLE groups (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL COLLATE NOCASE UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE group_members (
    group_id  TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, person_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_by_person ON group_members (person_id);

-- identity: how a session began. Those of before began with a password.
ALTER TABLE sessions ADD COLUMN provider TEXT NOT NULL DEFAULT 'local';
ALTER TABLE sessions ADD COLUMN identity_id TEXT REFERENCES identities (id) ON DELETE CASCADE;
ALTER TABLE sessions ADD COLUMN methods TEXT NOT NULL DEFAULT 'password'; -- with spaces between
ALTER TABLE sessions ADD COLUMN upstream_sid TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN authenticated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN passkey_at INTEGER;
UPDATE sessions SET authenticated_at = created_at;
CREATE INDEX sessions_by_identity ON sessions (identity_id) WHERE identity_id IS NOT NULL;

-- identity: a session as one app's host knows it, by a token of its own.
CREATE TABLE host_sessions (
    token_hash BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    host       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX host_sessions_by_session ON host_sessions (session_id);

-- deploy: stages of before were open to everybody, and stay so until somebody
-- says who may enter.
UPDATE stages SET spec = json_set(spec, '$.access', json('{"rules":[{"allow":{"public":true}}]}'));
