package registry

import (
	"context"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Repository is a named collection of images in this registry.
type Repository struct {
	Name     string    `json:"name"`
	Tags     int       `json:"tags"`
	Size     int64     `json:"size"` // bytes; a blob that repositories share counts in each
	PushedAt time.Time `json:"pushed_at"`
}

// Usage is what the registry holds.
type Usage struct {
	Repositories int   `json:"repositories"`
	Tags         int   `json:"tags"`
	Blobs        int   `json:"blobs"`
	Bytes        int64 `json:"bytes"`   // of blobs, each counted once
	Uploads      int   `json:"uploads"` // begun and not ended
}

// Repositories lists up to limit (1 to 200) repositories that hold an image,
// by name, from the one after cursor. next is the cursor of the rest, ""
// when there is none.
func (r *Registry) Repositories(ctx context.Context, cursor string, limit int) (list []Repository, next string, err error) {
	limit = min(max(limit, 1), 200)
	err = r.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectRepositories(ctx, tx, cursor, limit+1)
		return err
	})
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].Name
	}
	return list, next, err
}

// RemoveRepository removes all images of a repository. Their space comes back
// when it is collected.
func (r *Registry) RemoveRepository(ctx context.Context, actor, repository string) error {
	return r.db.Write(ctx, func(tx *sqlite.Tx) error {
		found, err := deleteRepository(ctx, tx, repository)
		if err != nil {
			return err
		}
		if !found {
			return fault.NotFound("no image named %q in this registry", repository)
		}
		return r.events.Append(ctx, tx, event.Event{Kind: Removed, Actor: actor}, Removal{Repository: repository})
	})
}

// Usage says what the registry holds.
func (r *Registry) Usage(ctx context.Context) (u Usage, err error) {
	err = r.db.Read(ctx, func(tx *sqlite.Tx) error {
		u, err = selectUsage(ctx, tx)
		return err
	})
	return u, err
}
