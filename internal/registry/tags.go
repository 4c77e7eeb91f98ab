package registry

import (
	"context"
	"errors"
	"iter"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Tag is a name that points at an image. Of one in another registry no more
// than the name is known.
type Tag struct {
	Name      string `json:"name"`
	Digest    string `json:"digest,omitempty"` // of the manifest or index
	MediaType string `json:"media_type,omitempty"`
	Size      int64  `json:"size,omitempty"` // bytes, compressed, of all platforms
	// CreatedAt is when the image was made, as it says itself; absent when it
	// does not. Builds that come out the same each time often say 1970 or 1980.
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"` // when the tag was put
}

// Tags lists a repository's tags, the one put last first; at most 10,000.
func (r *Registry) Tags(ctx context.Context, repository string) (tags []Tag, err error) {
	if err := r.dateImages(ctx, repository); err != nil {
		return nil, err
	}
	err = r.db.Read(ctx, func(tx *sqlite.Tx) error {
		if has, err := hasRepository(ctx, tx, repository); err != nil {
			return err
		} else if !has {
			return fault.NotFound("no image named %q in this registry", repository)
		}
		tags, err = selectTags(ctx, tx, repository, maxPage)
		return err
	})
	return tags, err
}

// RemoveTag removes a tag, and the image behind it when no other tag or index
// has it. Its space comes back when it is collected.
func (r *Registry) RemoveTag(ctx context.Context, actor, repository, tag string) error {
	err := r.removeTag(ctx, actor, repository, tag, withManifest)
	if errors.Is(err, errManifestUnknown) || errors.Is(err, errNameUnknown) {
		return fault.NotFound("no tag %q in %q", tag, repository)
	}
	return err
}

// afterTag says what becomes of a manifest that has lost its last tag.
type afterTag bool

const (
	leaveManifest afterTag = false // as the protocol has it
	withManifest  afterTag = true
)

func (r *Registry) removeTag(ctx context.Context, actor, repository, tag string, then afterTag) error {
	return r.db.Write(ctx, func(tx *sqlite.Tx) error {
		d, err := selectTag(ctx, tx, repository, tag)
		if err != nil {
			return err
		}
		if err := deleteTag(ctx, tx, repository, tag); err != nil {
			return err
		}
		if then == withManifest {
			if free, err := isFree(ctx, tx, repository, d); err != nil {
				return err
			} else if free {
				if err := r.dropManifest(ctx, tx, repository, d); err != nil {
					return err
				}
			}
		}
		return r.events.Append(ctx, tx, event.Event{Kind: Removed, Actor: actor},
			Removal{Repository: repository, Tag: tag, Digest: string(d)})
	})
}

// maxPage bounds a list that is read at one time.
const maxPage = 10_000

// batch is how many names a lister reads in one transaction.
const batch = 1000

func (r *Registry) tagNames(ctx context.Context, repository, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var has bool
		err := r.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
			has, err = hasRepository(ctx, tx, repository)
			return err
		})
		if err == nil && !has {
			err = errNameUnknown
		}
		if err != nil {
			yield("", err)
			return
		}
		r.names(ctx, after, func(ctx context.Context, tx *sqlite.Tx, after string, limit int) ([]string, error) {
			return selectTagNames(ctx, tx, repository, after, limit)
		})(yield)
	}
}

// names gives names in their order, read in batches. The edge bounds how many
// are asked for.
func (r *Registry) names(ctx context.Context, after string,
	read func(ctx context.Context, tx *sqlite.Tx, after string, limit int) ([]string, error),
) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			var list []string
			err := r.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
				list, err = read(ctx, tx, after, batch)
				return err
			})
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range list {
				if !yield(name, nil) {
					return
				}
				after = name
			}
			if len(list) < batch {
				return
			}
		}
	}
}
