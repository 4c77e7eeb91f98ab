-- registry: an edit of an account names the version that its author saw.

ALTER TABLE registry_accounts ADD COLUMN version INTEGER NOT NULL DEFAULT 1; -- grows with each edit
