-- When the image was created that a rule for tags found, and that of a release:
-- a poll that finds an older one later does not deploy it. Milliseconds, 0 when
-- that is not known.
ALTER TABLE deployments ADD COLUMN image_created INTEGER NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN image_created INTEGER NOT NULL DEFAULT 0;
