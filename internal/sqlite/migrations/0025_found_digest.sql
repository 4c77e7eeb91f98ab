-- What a tag that a rule takes pointed to when it was found. What waits for
-- somebody's approval is that image, wherever the tag points by then. Empty
-- where nobody has to approve, and of what names a release.
ALTER TABLE deployments ADD COLUMN found_digest TEXT NOT NULL DEFAULT '';
