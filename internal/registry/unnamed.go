package registry

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"berth/internal/event"
	"berth/internal/sqlite"
)

// Unnamed is an image that no tag, no index and no other manifest leads to.
type Unnamed struct {
	Repository string
	Digest     string
	Holds      []string // of an index: the digests in it
	Size       int64    // bytes of its blobs; those that other images share are counted too
	PushedAt   time.Time
}

// Unnamed lists images without a tag that were pushed before a time, the
// oldest first. What was pushed within the time of grace is never among them:
// a tag, or an index, may be on its way.
func (r *Registry) Unnamed(ctx context.Context, before time.Time, limit int) (list []Unnamed, err error) {
	err = r.db.Read(ctx, func(tx *sqlite.Tx) error {
		if list, err = selectUnnamed(ctx, tx, r.settled(before), limit); err != nil {
			return err
		}
		for n := range list {
			if list[n].Holds, err = selectBelow(ctx, tx, list[n].Repository, list[n].Digest); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// settled gives the time before which no push is under way any more.
func (r *Registry) settled(before time.Time) time.Time {
	if grace := r.clock().Add(-r.grace); before.After(grace) {
		return grace
	}
	return before
}

// RemoveUnnamed removes an image if it still has no tag, and says whether it
// did. Its space comes back when it is collected.
func (r *Registry) RemoveUnnamed(ctx context.Context, actor, repository, d string) (gone bool, err error) {
	err = r.db.Write(ctx, func(tx *sqlite.Tx) error {
		if gone, err = isFree(ctx, tx, repository, digest.Digest(d)); err != nil || !gone {
			return err
		}
		if err := r.dropManifest(ctx, tx, repository, digest.Digest(d)); err != nil {
			return err
		}
		return r.events.Append(ctx, tx, event.Event{Kind: Removed, Actor: actor}, Removal{Repository: repository, Digest: d})
	})
	return gone && err == nil, err
}
