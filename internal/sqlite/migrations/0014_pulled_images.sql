-- deploy: the images that the engine has because Berth pulled them. No other
-- image is Berth's to remove.
CREATE TABLE pulled_images (
    reference TEXT PRIMARY KEY, -- as it was pulled: repository@digest
    digest    TEXT NOT NULL,
    image_id  TEXT NOT NULL DEFAULT '', -- the engine's own id; '' until the pull was over
    pulled_at INTEGER NOT NULL
) STRICT;
CREATE INDEX pulled_images_by_image ON pulled_images (image_id);
CREATE INDEX pulled_images_by_digest ON pulled_images (digest);
