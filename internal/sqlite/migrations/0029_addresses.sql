-- identity: whose an e-mail address is, and who says so; signin: whose word
-- is taken for that.

-- Whether an address counts as verified of which the provider does not say
-- whether it is.
ALTER TABLE providers ADD COLUMN trust_email INTEGER NOT NULL DEFAULT 0;

-- The address that apps are told in sessions of an identity: verified there,
-- and nobody else's. In small letters; '' for none.
ALTER TABLE identities ADD COLUMN held_email TEXT NOT NULL DEFAULT '';
CREATE INDEX identities_by_held_email ON identities (held_email) WHERE held_email <> '';

-- The identities that a person's address and name came from; '' of those that
-- were set here. email_state is given, verified, unverified or taken.
ALTER TABLE people ADD COLUMN email_by TEXT NOT NULL DEFAULT '';
ALTER TABLE people ADD COLUMN email_state TEXT NOT NULL DEFAULT '';
ALTER TABLE people ADD COLUMN name_by TEXT NOT NULL DEFAULT '';

-- Whoever was made by a provider has their name and address from there, unless
-- somebody changed it here since.
UPDATE people
SET name_by = COALESCE((
    SELECT identities.id
    FROM identities
    WHERE identities.person_id = people.id AND abs(identities.created_at - people.created_at) < 1000
    ORDER BY identities.created_at, identities.id
    LIMIT 1
), '')
WHERE NOT EXISTS (
    SELECT 1
    FROM events
    WHERE events.kind = 'person.updated' AND json_extract(events.data, '$.id') = people.id AND instr(events.data, '"display_name"') > 0
);
UPDATE people
SET email_by = COALESCE((
    SELECT identities.id
    FROM identities
    WHERE identities.person_id = people.id AND abs(identities.created_at - people.created_at) < 1000
    ORDER BY identities.created_at, identities.id
    LIMIT 1
), '')
WHERE email <> '' AND NOT EXISTS (
    SELECT 1
    FROM events
    WHERE events.kind = 'person.updated' AND json_extract(events.data, '$.id') = people.id AND instr(events.data, '"email"') > 0
);
UPDATE people SET email_state = 'given' WHERE email <> '' AND email_by = '';
CREATE INDEX people_by_given_email ON people (lower(email)) WHERE email_state = 'given';

-- email_verified speaks of the claim email alone.
UPDATE identities
SET email_verified = 0
WHERE NOT EXISTS (
    SELECT 1
    FROM providers
    WHERE providers.slug = identities.provider AND json_extract(providers.claims, '$.email') = 'email'
);
-- Who had it first holds it. What is no plain address is looked at when it is
-- told again.
UPDATE identities
SET held_email = lower(email)
WHERE email_verified AND email LIKE '_%@_%' AND email NOT GLOB '*[^!-~]*' AND email NOT GLOB '*[<>(),:;"]*'
    AND NOT EXISTS (
        SELECT 1
        FROM identities AS earlier
        WHERE lower(earlier.email) = lower(identities.email) AND earlier.email_verified AND earlier.person_id <> identities.person_id
            AND (earlier.created_at, earlier.id) < (identities.created_at, identities.id)
    )
    AND NOT EXISTS (
        SELECT 1
        FROM people
        WHERE people.email_state = 'given' AND lower(people.email) = lower(identities.email) AND people.id <> identities.person_id
    );
UPDATE people
SET email_state = CASE WHEN EXISTS (
    SELECT 1
    FROM identities
    WHERE identities.id = people.email_by AND identities.held_email = lower(people.email)
) THEN 'verified' ELSE 'unverified' END
WHERE email_by <> '';
