-- registry: when an image was created, as its configuration says; 0 where it
-- does not say, NULL where nobody has looked yet.
ALTER TABLE registry_manifests ADD COLUMN image_created INTEGER;
CREATE INDEX registry_manifests_undated ON registry_manifests (repository) WHERE image_created IS NULL;
