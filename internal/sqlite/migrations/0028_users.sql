-- identity: the role of those who enter apps and see nothing of Berth's. A
-- check can't be changed where it stands, so the column is made anew.
DROP INDEX people_administrators;
DROP INDEX people_with_other_role;
ALTER TABLE people ADD COLUMN new_role TEXT NOT NULL DEFAULT 'user' CHECK (new_role IN ('administrator', 'member', 'user'));
UPDATE people SET new_role = role;
ALTER TABLE people DROP COLUMN role;
ALTER TABLE people RENAME COLUMN new_role TO role;
CREATE INDEX people_administrators ON people (id) WHERE role = 'administrator';
CREATE INDEX people_with_other_role ON people (id) WHERE role <> given_role;

-- signin: what those become whom a provider lets in as new people. Providers
-- that do so already go on as they were.
ALTER TABLE providers ADD COLUMN new_role TEXT NOT NULL DEFAULT 'user';
UPDATE providers SET new_role = 'member' WHERE create_people = 1;
