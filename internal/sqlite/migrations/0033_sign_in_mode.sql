-- identity: whose passwords sign in, and to which provider people are led
-- straight; to the sign-in page when that is removed.
CREATE TABLE sign_in_mode (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    passwords   TEXT NOT NULL CHECK (passwords IN ('everybody', 'administrators')),
    straight_to TEXT REFERENCES providers (slug) ON DELETE SET NULL,
    version     INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
INSERT INTO sign_in_mode (id, passwords, straight_to, version, updated_at)
VALUES (1, 'everybody', NULL, 0, 0);
