package registry

import (
	"context"
	"time"

	"berth/internal/event"
	"berth/internal/sqlite"
)

// commit writes a look down in one transaction. hinted becomes whether there
// is still something to look up.
func (w *Watcher) commit(ctx context.Context, s *sight, next watchState, now time.Time, hinted *bool) error {
	return w.db.Write(ctx, func(tx *sqlite.Tx) error {
		if still, err := updateWatch(ctx, tx, s.repository, next); err != nil || !still {
			return err
		}
		if err := s.commitTags(ctx, tx, now); err != nil {
			return err
		}
		for _, f := range s.found {
			for _, f.Repository = range s.spellings { // each project knows its own
				if err := w.events.Append(ctx, tx, event.Event{Kind: ImageFound, Actor: f.By}, f); err != nil {
					return err
				}
			}
		}
		if kind := turned(s.state, next); kind != "" {
			turn := SourceTurn{Repository: s.repository, Error: next.trouble}
			if err := w.events.Append(ctx, tx, event.Event{Kind: kind, Actor: "berth"}, turn); err != nil {
				return err
			}
		}
		if s.err == nil {
			if err := s.commitHints(ctx, tx); err != nil {
				return err
			}
		}
		var err error
		*hinted, err = hasHints(ctx, tx, s.repository)
		return err
	})
}

func (s *sight) commitTags(ctx context.Context, tx *sqlite.Tx, now time.Time) error {
	for tag, a := range s.seen {
		was, ok := s.before[tag]
		if a.same || a.gone || a.digest == "" || ok && !was.gone && was.digest == a.digest && was.etag == a.etag {
			continue
		}
		if err := putWatchedTag(ctx, tx, s.repository, tag, known{digest: a.digest, etag: a.etag}, now); err != nil {
			return err
		}
	}
	if s.err == nil {
		return s.commitNames(ctx, tx, now)
	}
	return nil
}

// commitNames writes down what a whole list of tags tells.
func (s *sight) commitNames(ctx context.Context, tx *sqlite.Tx, now time.Time) error {
	for _, tag := range s.note {
		if err := putWatchedTag(ctx, tx, s.repository, tag, known{}, now); err != nil {
			return err
		}
	}
	for _, tag := range s.gone {
		var err error
		if !taken(s.rules, tag) {
			err = deleteWatchedTag(ctx, tx, s.repository, tag)
		} else if !s.before[tag].gone {
			err = setTagGone(ctx, tx, s.repository, tag, now)
		}
		if err != nil {
			return err
		}
	}
	if !s.full {
		return nil
	}
	return deleteGoneTags(ctx, tx, s.repository, now.Add(-keepGone))
}

// commitHints removes the hints that were looked up. A tag that is not there
// may only not be there yet.
func (s *sight) commitHints(ctx context.Context, tx *sqlite.Tx) error {
	for _, h := range s.hints {
		var err error
		if h.tag != "" && s.seen[h.tag].gone && h.tries+1 < mostTries {
			err = retryHint(ctx, tx, s.repository, h)
		} else {
			err = deleteHint(ctx, tx, s.repository, h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
