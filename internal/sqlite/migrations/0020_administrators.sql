-- identity: who administers, where a list says it.

-- The role that somebody was given here, or that their provider says. It is
-- also people.role where there is no list; where there is, role follows the list.
ALTER TABLE people ADD COLUMN given_role TEXT NOT NULL DEFAULT 'member';
UPDATE people SET given_role = role;
CREATE INDEX people_administrators ON people (id) WHERE role = 'administrator';
CREATE INDEX people_by_given_role ON people (created_at, id)
    WHERE given_role = 'administrator' AND password_hash IS NOT NULL AND disabled_at IS NULL;
CREATE INDEX people_with_other_role ON people (id) WHERE role <> given_role;

-- Whether the provider said of the address that it is theirs.
ALTER TABLE identities ADD COLUMN email_verified INTEGER NOT NULL DEFAULT 0;
UPDATE identities SET email_verified = 1 WHERE json_extract(claims, '$.email_verified') IN (1, 'true');
CREATE INDEX identities_by_username ON identities (provider, username);
CREATE INDEX identities_by_email ON identities (provider, lower(email));

-- The list. An entry is bound to the first that it fits: a name that somebody
-- else has later does not make them an administrator.
CREATE TABLE administrators (
    provider    TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('name', 'email', 'id')),
    value       TEXT NOT NULL,
    position    INTEGER NOT NULL,
    issuer      TEXT, -- of the identity that it is bound to; '' of an account of Berth's own
    external_id TEXT, -- of the identity, or the account's id
    bound_at    INTEGER,
    PRIMARY KEY (provider, kind, value)
) STRICT;
