package registry

import (
	"context"
	"encoding/json"
	"time"

	"berth/internal/sqlite"
)

// watchState is what is kept of a watched repository besides its tags.
type watchState struct {
	baseline  []string // rules, by name, whose tags have all been seen once
	listETag  string
	listHash  string
	polled    time.Time
	succeeded time.Time
	next      time.Time
	failures  int // in a row
	trouble   string
}

// storedWatch is a watched repository as it was found in the store.
type storedWatch struct {
	state  watchState
	hinted bool
}

// syncRows makes the stored repositories those that are watched, and gives
// what is known of them.
func (w *Watcher) syncRows(ctx context.Context, wanted map[string]*watching) (stored map[string]storedWatch, err error) {
	err = w.db.Read(ctx, func(tx *sqlite.Tx) error {
		stored, err = selectWatches(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	var add, remove []string
	for r := range wanted {
		if _, ok := stored[r]; !ok {
			add = append(add, r)
		}
	}
	for r := range stored {
		if wanted[r] == nil {
			remove = append(remove, r)
		}
	}
	if len(add)+len(remove) == 0 {
		return stored, nil
	}
	return stored, w.db.Write(ctx, func(tx *sqlite.Tx) error {
		for _, r := range remove {
			if err := deleteWatch(ctx, tx, r); err != nil {
				return err
			}
		}
		for _, r := range add {
			if err := insertWatch(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// save writes down the states that are newer than their rows.
func (w *Watcher) save(ctx context.Context) error {
	type row struct {
		repository string
		state      watchState
	}
	var rows []row
	w.mu.Lock()
	for _, it := range w.watched {
		if it.unsaved {
			rows = append(rows, row{it.repository, it.state})
			it.unsaved = false
		}
	}
	w.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	return w.db.Write(ctx, func(tx *sqlite.Tx) error {
		for _, r := range rows {
			if _, err := updateWatch(ctx, tx, r.repository, r.state); err != nil {
				return err
			}
		}
		return nil
	})
}

func selectWatches(ctx context.Context, tx *sqlite.Tx) (map[string]storedWatch, error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT w.repository, w.baseline, w.list_etag, w.list_hash, w.polled_at, w.succeeded_at, w.next_at, w.failures, w.error,
			EXISTS (SELECT 1 FROM registry_hints h WHERE h.repository = w.repository)
		FROM registry_watches w`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]storedWatch{}
	for rows.Next() {
		var repository, baseline string
		var polled, succeeded, next int64
		var s storedWatch
		if err := rows.Scan(&repository, &baseline, &s.state.listETag, &s.state.listHash, &polled, &succeeded, &next,
			&s.state.failures, &s.state.trouble, &s.hinted); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(baseline), &s.state.baseline); err != nil {
			return nil, err
		}
		s.state.polled, s.state.succeeded, s.state.next = sqlite.Time(polled), sqlite.Time(succeeded), sqlite.Time(next)
		found[repository] = s
	}
	return found, rows.Err()
}

func insertWatch(ctx context.Context, tx *sqlite.Tx, repository string) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_watches (repository)
		VALUES (?)`,
		repository)
	return err
}

// updateWatch says whether the repository is still watched.
func updateWatch(ctx context.Context, tx *sqlite.Tx, repository string, s watchState) (bool, error) {
	if s.baseline == nil {
		s.baseline = []string{}
	}
	baseline, err := json.Marshal(s.baseline)
	if err != nil {
		return false, err
	}
	done, err := tx.ExecContext(ctx, `
		UPDATE registry_watches
		SET baseline = ?, list_etag = ?, list_hash = ?, polled_at = ?, succeeded_at = ?, next_at = ?, failures = ?, error = ?
		WHERE repository = ?`,
		string(baseline), s.listETag, s.listHash, sqlite.Millis(s.polled), sqlite.Millis(s.succeeded), sqlite.Millis(s.next),
		s.failures, s.trouble, repository)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

func deleteWatch(ctx context.Context, tx *sqlite.Tx, repository string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_watches
		WHERE repository = ?`,
		repository)
	return err
}

func selectWatchedTags(ctx context.Context, tx *sqlite.Tx, repository string) (map[string]known, error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT tag, digest, etag, gone_at <> 0
		FROM registry_watched_tags
		WHERE repository = ?`,
		repository)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]known{}
	for rows.Next() {
		var tag string
		var k known
		if err := rows.Scan(&tag, &k.digest, &k.etag, &k.gone); err != nil {
			return nil, err
		}
		found[tag] = k
	}
	return found, rows.Err()
}

func putWatchedTag(ctx context.Context, tx *sqlite.Tx, repository, tag string, k known, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_watched_tags (repository, tag, digest, etag, changed_at)
		VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (repository, tag) DO UPDATE SET
			changed_at = CASE digest WHEN excluded.digest THEN changed_at ELSE excluded.changed_at END,
			digest = excluded.digest,
			etag = excluded.etag,
			gone_at = 0`,
		repository, tag, k.digest, k.etag, sqlite.Millis(now))
	return err
}

func setTagGone(ctx context.Context, tx *sqlite.Tx, repository, tag string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE registry_watched_tags
		SET gone_at = ?
		WHERE repository = ? AND tag = ?`,
		sqlite.Millis(at), repository, tag)
	return err
}

func deleteWatchedTag(ctx context.Context, tx *sqlite.Tx, repository, tag string) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_watched_tags
		WHERE repository = ? AND tag = ?`,
		repository, tag)
	return err
}

// deleteGoneTags forgets tags that have long been gone.
func deleteGoneTags(ctx context.Context, tx *sqlite.Tx, repository string, before time.Time) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_watched_tags
		WHERE repository = ? AND gone_at <> 0 AND gone_at < ?`,
		repository, sqlite.Millis(before))
	return err
}

// pendingHint is a hint that has not been looked up.
type pendingHint struct {
	tag   string
	said  int
	tries int
}

func insertHint(ctx context.Context, tx *sqlite.Tx, repository, tag string) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO registry_hints (repository, tag)
		SELECT repository, ?
		FROM registry_watches
		WHERE repository = ?
		ON CONFLICT (repository, tag) DO UPDATE SET said = said + 1, tries = 0`,
		tag, repository)
	return err
}

func selectHints(ctx context.Context, tx *sqlite.Tx, repository string) ([]pendingHint, error) {
	return sqlite.All(ctx, tx, func(row sqlite.Row) (h pendingHint, err error) {
		err = row.Scan(&h.tag, &h.said, &h.tries)
		return h, err
	}, `
		SELECT tag, said, tries
		FROM registry_hints
		WHERE repository = ?
		ORDER BY tag
		LIMIT 100`,
		repository)
}

// deleteHint removes a hint, unless it was given again meanwhile.
func deleteHint(ctx context.Context, tx *sqlite.Tx, repository string, h pendingHint) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM registry_hints
		WHERE repository = ? AND tag = ? AND said = ?`,
		repository, h.tag, h.said)
	return err
}

func retryHint(ctx context.Context, tx *sqlite.Tx, repository string, h pendingHint) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE registry_hints
		SET tries = tries + 1
		WHERE repository = ? AND tag = ?`,
		repository, h.tag)
	return err
}

func hasHints(ctx context.Context, tx *sqlite.Tx, repository string) (has bool, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM registry_hints WHERE repository = ?)`,
		repository).Scan(&has)
	return has, err
}
