package registry

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"berth/internal/sqlite"
)

// dateImages finds out when the images of a repository were created, those of
// which that is not known yet: it is read from an image's configuration once.
func (r *Registry) dateImages(ctx context.Context, repository string) error {
	var undated []*storedManifest
	err := r.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		undated, err = selectUndated(ctx, tx, repository, batch)
		return err
	})
	if err != nil || len(undated) == 0 {
		return err
	}
	dates := make([]time.Time, len(undated))
	for i, m := range undated {
		dates[i] = r.createdAt(ctx, repository, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return r.db.Write(ctx, func(tx *sqlite.Tx) error {
		for i, m := range undated {
			if err := setImageCreated(ctx, tx, repository, m.digest, dates[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// createdAt gives the zero time for what is no image, and for an image that
// does not say, or can't be read: a listing does not fail for that.
func (r *Registry) createdAt(ctx context.Context, repository string, m *storedManifest) time.Time {
	doc, err := readDocument(m.content, m.mediaType)
	if err != nil || !doc.isImage() {
		return time.Time{}
	}
	raw, err := inside{registry: r, repository: repository}.config(ctx, doc.Config.Digest)
	if err != nil {
		return time.Time{}
	}
	var image ocispec.Image
	if json.Unmarshal(raw, &image) != nil || image.Created == nil || image.Created.Before(time.Unix(0, 0)) {
		return time.Time{}
	}
	return *image.Created
}

// plausible gives the zero time for what no clock can have said: builds that
// are to be the same each time write 1970 or 1980, and who is days ahead would
// be the newest for as long.
func plausible(created, now time.Time) time.Time {
	if created.Year() < 2000 || created.After(now.Add(24*time.Hour)) {
		return time.Time{}
	}
	return created.UTC()
}

func selectUndated(ctx context.Context, tx *sqlite.Tx, repository string, limit int) ([]*storedManifest, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (*storedManifest, error) {
		m := &storedManifest{}
		err := row.Scan(&m.digest, &m.mediaType, &m.content)
		return m, err
	}, `
		SELECT digest, media_type, content
		FROM registry_manifests
		WHERE repository = ? AND image_created IS NULL
		LIMIT ?`, repository, limit)
}

func setImageCreated(ctx context.Context, tx *sqlite.Tx, repository string, d digest.Digest, at time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE registry_manifests
		SET image_created = ?
		WHERE repository = ? AND digest = ?`, sqlite.Millis(at), repository, d)
	return err
}
