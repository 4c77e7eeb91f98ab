package event_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

var chainKey = secret.New("a key for tests that is long enough")

// openChain is a log with a chain, as a server has it, in a file.
func openChain(tb testing.TB, path string) (*event.Log, *sqlite.DB) {
	tb.Helper()
	db, err := sqlite.Open(context.Background(), sqlite.Config{Path: path})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return event.New(event.Config{DB: db, Key: chainKey, Clock: func() time.Time { return start }}), db
}

// written is a chain of ten events, of the ids 1 to 12: 4 and 8 are log lines.
func written(tb testing.TB, path string) (*event.Log, *sqlite.DB) {
	tb.Helper()
	log, db := openChain(tb, path)
	for i := 1; i <= 12; i++ {
		e := event.Event{
			Kind: "stage.updated", Actor: "ana", Project: "shop", Stage: "prod", Deployment: "d1", Instance: "i1",
			Data: json.RawMessage(fmt.Sprintf(`{"version":%d}`, i)), At: start.Add(time.Duration(i) * time.Minute),
		}
		if i%4 == 0 && i < 12 {
			e.Kind = event.DeploymentLog
		}
		add(tb, log, db, e)
	}
	return log, db
}

func verify(tb testing.TB, log *event.Log) event.Verification {
	tb.Helper()
	v, err := log.Verify(context.Background(), event.Head{})
	require.NoError(tb, err)
	require.Equal(tb, v.Broken == nil, v.OK)
	return v
}

// tamper does what somebody with the file and without the key can do.
func tamper(tb testing.TB, db *sqlite.DB, statements ...string) {
	tb.Helper()
	require.NoError(tb, db.Write(context.Background(), func(tx *sqlite.Tx) error {
		for _, s := range statements {
			done, err := tx.ExecContext(context.Background(), s)
			if err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				return fmt.Errorf("%s: %d rows, %w", s, n, err)
			}
		}
		return nil
	}))
}

func TestVerify_SaysThatAllIsAsItWasWritten(t *testing.T) {
	log, _ := written(t, filepath.Join(t.TempDir(), "berth.db"))
	v := verify(t, log)
	require.True(t, v.OK, "%+v", v.Broken)
	require.EqualValues(t, 10, v.Checked, "log lines are no links")
	require.EqualValues(t, 1, v.First)
	require.Equal(t, start, v.BeganAt)
	require.Regexp(t, `^10-[0-9a-f]{64}$`, v.Head)

	records, err := log.Records(t.Context(), 0, event.Filter{}, 0)
	require.NoError(t, err)
	require.EqualValues(t, 10, records[0].Position)
	require.Equal(t, v.Head, "10-"+records[0].Hash)
	require.EqualValues(t, 8, records[4].ID)
	require.Empty(t, records[4].Hash)
}

func TestVerify_OfAnEmptyLog(t *testing.T) {
	log, _ := openChain(t, filepath.Join(t.TempDir(), "berth.db"))
	require.Equal(t, event.Verification{OK: true}, verify(t, log))
}

func TestVerify_ShowsWhatWasDone(t *testing.T) {
	const (
		all    = `id, at, kind, actor, project, stage, deployment, instance, data, position, hash`
		others = `at, kind, actor, project, stage, deployment, instance, data, position, hash`
	)
	for _, c := range []struct {
		name  string
		do    []string
		event int64
		why   string
	}{
		{"the time", []string{`UPDATE events SET at = at + 1 WHERE id = 5`}, 5, "altered"},
		{"the kind", []string{`UPDATE events SET kind = 'stage.created' WHERE id = 5`}, 5, "altered"},
		{"the actor", []string{`UPDATE events SET actor = 'bo' WHERE id = 5`}, 5, "altered"},
		{"the project", []string{`UPDATE events SET project = 'blog' WHERE id = 5`}, 5, "altered"},
		{"the stage", []string{`UPDATE events SET stage = 'dev' WHERE id = 5`}, 5, "altered"},
		{"the deployment", []string{`UPDATE events SET deployment = 'd2' WHERE id = 5`}, 5, "altered"},
		{"the instance", []string{`UPDATE events SET instance = 'i2' WHERE id = 5`}, 5, "altered"},
		{"the data", []string{`UPDATE events SET data = '{"version":50}' WHERE id = 5`}, 5, "altered"},
		{"the data by a space", []string{`UPDATE events SET data = '{"version": 5}' WHERE id = 5`}, 5, "altered"},
		{"something from one column to the next", []string{`UPDATE events SET project = 'sho', stage = 'pprod' WHERE id = 5`}, 5, "altered"},
		{"the id, in the same order", []string{`DELETE FROM events WHERE id = 4`, `UPDATE events SET id = 4 WHERE id = 5`}, 4, "altered"},
		{"the id of the newest", []string{`UPDATE events SET id = 20 WHERE id = 12`}, 20, "altered"},
		{"the position", []string{`UPDATE events SET position = 40 WHERE id = 5`}, 5, "36 events are missing before it"},
		{"the hash", []string{`UPDATE events SET hash = zeroblob(32) WHERE id = 5`}, 5, "altered"},
		{"no hash", []string{`UPDATE events SET hash = NULL, position = NULL WHERE id = 5`}, 5, "no place in the chain"},
		{"the first event", []string{`UPDATE events SET actor = 'bo' WHERE id = 1`}, 1, "altered"},
		{"the newest event", []string{`UPDATE events SET actor = 'bo' WHERE id = 12`}, 12, "altered"},
		{"an event hidden as a log line", []string{`UPDATE events SET kind = 'deployment.log' WHERE id = 5`}, 6, "one event is missing before it"},
		{"the newest hidden as a log line", []string{`UPDATE events SET kind = 'deployment.log' WHERE id = 12`}, 0, "one event is missing at the end"},
		{"a log line made a fact", []string{`UPDATE events SET kind = 'stage.updated' WHERE id = 8`}, 8, "no place in the chain"},

		{"one removed", []string{`DELETE FROM events WHERE id = 5`}, 6, "one event is missing before it"},
		{"some removed", []string{`DELETE FROM events WHERE id BETWEEN 5 AND 9`}, 10, "4 events are missing before it"},
		{"one removed and the places closed up", []string{`DELETE FROM events WHERE id = 5`, `UPDATE events SET position = position - 1 WHERE id > 5 AND position > 0`}, 6, "altered"},
		{"the oldest removed", []string{`DELETE FROM events WHERE id <= 2`}, 3, "2 events are missing before it"},
		{"the oldest removed and the anchor moved", []string{
			`UPDATE event_chain SET anchor_id = 2, anchor_position = 2, anchor_hash = (SELECT hash FROM events WHERE id = 2)`,
			`DELETE FROM events WHERE id <= 2`,
		}, 0, "where the kept events begin was altered"},
		{"the newest removed", []string{`DELETE FROM events WHERE id > 10`}, 0, "2 events are missing at the end"},
		{"the newest removed and the head moved", []string{
			`DELETE FROM events WHERE id > 10`,
			`UPDATE event_chain SET head_id = 10, head_position = 8, head_hash = (SELECT hash FROM events WHERE id = 10)`,
		}, 0, "the newest event was altered"},
		{"all removed", []string{`DELETE FROM events`}, 0, "10 events are missing at the end"},
		{"the beginning made later", []string{`UPDATE event_chain SET began_at = began_at + 1`}, 0, "where the kept events begin was altered"},
		{"the anchor's MAC on the head", []string{`UPDATE event_chain SET head_id = anchor_id, head_position = anchor_position, head_hash = anchor_hash, head_mac = anchor_mac`}, 0, "the newest event was altered"},
		{"the record removed", []string{`DELETE FROM event_chain`}, 1, "the record of the chain was exchanged"},

		{"two exchanged", []string{`UPDATE events SET id = -5 WHERE id = 5`, `UPDATE events SET id = 5 WHERE id = 6`, `UPDATE events SET id = 6 WHERE id = -5`}, 5, "one event is missing before it"},
		{"two exchanged with their places", []string{
			`UPDATE events SET id = -5, position = 5 WHERE id = 5`, `UPDATE events SET id = 5, position = 4 WHERE id = 6`, `UPDATE events SET id = 6 WHERE id = -5`,
		}, 5, "altered"},
		{"one put in", []string{`INSERT INTO events (id, at, kind, actor) VALUES (40, 1, 'person.created', 'ana')`}, 40, "no place in the chain"},
		{"one put in before all", []string{`INSERT INTO events (id, at, kind, actor, position, hash) VALUES (0, 1, 'person.created', 'ana', 1, zeroblob(32))`}, 0, "the record of the chain was exchanged"},
		{"one written twice", []string{`INSERT INTO events (` + others + `) SELECT ` + others + ` FROM events WHERE id = 5`}, 13, "says it is number 4, where number 11 is due"},
		{"one put in the place of a log line", []string{`DELETE FROM events WHERE id = 8`, `INSERT INTO events (` + all + `) SELECT 8, ` + others + ` FROM events WHERE id = 7`}, 8, "says it is number 6, where number 7 is due"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log, db := written(t, filepath.Join(t.TempDir(), "berth.db"))
			tamper(t, db, c.do...)
			v := verify(t, log)
			require.False(t, v.OK)
			require.Contains(t, v.Broken.Why, c.why)
			require.Equal(t, c.event, v.Broken.Event, v.Broken.Why)

			// Whatever is written on top does not hide it.
			add(t, log, db, event.Event{Kind: "later.fact"}, event.Event{Kind: "later.fact"})
			require.False(t, verify(t, log).OK)
		})
	}
}

func TestVerify_KnowsAnotherKey(t *testing.T) {
	log, db := written(t, filepath.Join(t.TempDir(), "berth.db"))
	require.True(t, verify(t, log).OK)
	other := event.New(event.Config{DB: db, Key: secret.New("another key that is as long as it")})
	require.False(t, verify(t, other).OK)

	_, err := event.New(event.Config{DB: db}).Verify(t.Context(), event.Head{})
	require.Equal(t, fault.NotNow, fault.KindOf(err))
}

func TestVerify_ShowsWhatWasWrittenWithoutTheKey(t *testing.T) {
	log, db := written(t, filepath.Join(t.TempDir(), "berth.db"))
	add(t, event.New(event.Config{DB: db}), db, event.Event{Kind: "a.fact"})
	require.Contains(t, verify(t, log).Broken.Why, "no place in the chain")
}

func TestVerify_TellsAnOlderCopyByTheHeadThatWasNoted(t *testing.T) {
	folder := t.TempDir()
	path, older := filepath.Join(folder, "berth.db"), filepath.Join(folder, "older.db")
	log, db := written(t, path)
	first := verify(t, log).Head
	require.NoError(t, db.CopyTo(t.Context(), older))
	add(t, log, db, event.Event{Kind: "session.ended", Actor: "eve"}, event.Event{Kind: "session.ended", Actor: "eve"})
	noted := verify(t, log).Head

	since := func(log *event.Log, head string) event.Verification {
		h, err := event.ParseHead(head)
		require.NoError(t, err)
		v, err := log.Verify(t.Context(), h)
		require.NoError(t, err)
		return v
	}
	require.True(t, since(log, first).OK, "the chain went on from it")
	require.True(t, since(log, noted).OK)

	copied, copyDB := openChain(t, older)
	require.True(t, verify(t, copied).OK, "by itself an older copy is whole")
	require.True(t, since(copied, first).OK)
	v := since(copied, noted)
	require.False(t, v.OK)
	require.Contains(t, v.Broken.Why, "ends at position 10, before the head that was noted")

	// And when it has gone on by itself beyond that place.
	for range 4 {
		add(t, copied, copyDB, event.Event{Kind: "a.fact"})
	}
	v = since(copied, noted)
	require.False(t, v.OK)
	require.EqualValues(t, 14, v.Broken.Event)
	require.Contains(t, v.Broken.Why, "another than the one of the head")

	// A chain begun anew, with all before it made to look like what was there
	// before there were chains.
	tamper(t, db, `DELETE FROM event_chain`, `UPDATE events SET hash = NULL, position = NULL`)
	require.False(t, since(log, noted).OK)
	add(t, log, db, event.Event{Kind: "a.fact"})
	require.False(t, since(log, noted).OK)
}

func TestParseHead_RefusesWhatIsNone(t *testing.T) {
	for _, s := range []string{"x", "12", "12-", "12-abc", "-1-" + strings.Repeat("a", 64), "1-" + strings.Repeat("g", 64), "1-" + strings.Repeat("a", 66)} {
		_, err := event.ParseHead(s)
		require.Equal(t, fault.BadInput, fault.KindOf(err), s)
	}
	h, err := event.ParseHead(" 12-" + strings.Repeat("AB", 32) + "\n")
	require.NoError(t, err)
	require.Equal(t, "12-"+strings.Repeat("ab", 32), h.String())
	none, err := event.ParseHead("")
	require.NoError(t, err)
	require.Empty(t, none.String())
}

func TestChain_BeginsBehindWhatWasThereBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	log, db := openChain(t, path)
	add(t, event.New(event.Config{DB: db}), db, event.Event{Kind: "old.fact", At: start.Add(-time.Hour)}, event.Event{Kind: event.DeploymentLog})
	require.Equal(t, event.Verification{OK: true}, verify(t, log))
	add(t, log, db, event.Event{Kind: "a.fact", At: start})
	v := verify(t, log)
	require.True(t, v.OK, "%+v", v.Broken)
	require.EqualValues(t, 1, v.Checked)

	_, err := log.Prune(t.Context(), start, start)
	require.NoError(t, err)
	v = verify(t, log)
	require.True(t, v.OK, "%+v", v.Broken)
	require.EqualValues(t, 1, v.Checked)
	require.EqualValues(t, 1, v.First)
}

func TestChain_GoesOnInAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	log, db := written(t, path)
	again := event.New(event.Config{DB: db, Key: chainKey})
	add(t, again, db, event.Event{Kind: "a.fact"})
	add(t, log, db, event.Event{Kind: "a.fact"})
	v := verify(t, again)
	require.True(t, v.OK, "%+v", v.Broken)
	require.EqualValues(t, 12, v.Checked)
}

func TestChain_IsWholeAfterATransactionIsRolledBack(t *testing.T) {
	log, db := openChain(t, filepath.Join(t.TempDir(), "berth.db"))
	stop := errors.New("stop")
	for i := range 6 {
		err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
			require.NoError(t, log.Append(t.Context(), tx, event.Event{Kind: "a.fact"}, nil))
			require.NoError(t, log.Append(t.Context(), tx, event.Event{Kind: "a.fact"}, nil))
			if i%2 == 0 {
				return stop
			}
			return nil
		})
		require.Equal(t, i%2 == 0, errors.Is(err, stop))
	}
	v := verify(t, log)
	require.True(t, v.OK, "%+v", v.Broken)
	require.EqualValues(t, 6, v.Checked)
}

func TestChain_IsWholeAfterManyWriters(t *testing.T) {
	log, db := openChain(t, filepath.Join(t.TempDir(), "berth.db"))
	stop := errors.New("stop")
	var writers sync.WaitGroup
	for w := range 100 {
		writers.Go(func() {
			for i := range 3 {
				err := db.Write(context.Background(), func(tx *sqlite.Tx) error {
					for _, kind := range []event.Kind{"a.fact", event.DeploymentLog, "another.fact"} {
						if err := log.Append(context.Background(), tx, event.Event{Kind: kind, Actor: strconv.Itoa(w)}, nil); err != nil {
							return err
						}
					}
					if (w+i)%5 == 0 {
						return stop
					}
					return nil
				})
				if err != nil && !errors.Is(err, stop) {
					t.Error(err)
				}
				if _, err := log.Verify(context.Background(), event.Head{}); w%20 == 0 && err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	v := verify(t, log)
	require.True(t, v.OK, "%+v", v.Broken)
	require.EqualValues(t, 2*100*3*4/5, v.Checked)
}

func TestPrune_LeavesAChainThatIsWhole(t *testing.T) {
	log, db := written(t, filepath.Join(t.TempDir(), "berth.db"))
	noted := verify(t, log).Head
	for minute := range 12 {
		_, err := log.Prune(t.Context(), start.Add(time.Duration(minute)*time.Minute), start.Add(time.Duration(minute)*time.Minute))
		require.NoError(t, err)
		v := verify(t, log)
		require.True(t, v.OK, "%d: %+v", minute, v.Broken)
		require.Equal(t, noted, v.Head, "what goes at one end changes nothing at the other")
	}
	_, err := log.Prune(t.Context(), start.Add(time.Hour), start.Add(time.Hour))
	require.NoError(t, err)
	v := verify(t, log)
	require.True(t, v.OK, "%+v", v.Broken)
	require.Zero(t, v.Checked)
	require.Equal(t, noted, v.Head)

	add(t, log, db, event.Event{Kind: "a.fact", At: start.Add(2 * time.Hour)})
	head, err := event.ParseHead(noted)
	require.NoError(t, err)
	v, err = log.Verify(t.Context(), head)
	require.NoError(t, err)
	require.True(t, v.OK, "%+v", v.Broken)
	require.EqualValues(t, 1, v.Checked)
	require.EqualValues(t, 11, v.First)

	_, err = log.Prune(t.Context(), start, start.Add(3*time.Hour))
	require.NoError(t, err)
	_, err = log.Verify(t.Context(), head)
	require.Equal(t, fault.BadInput, fault.KindOf(err), "it can't be compared any more")

	tamper(t, db, `INSERT INTO events (id, at, kind, actor) VALUES (3, 1, 'person.created', 'ana')`)
	require.Contains(t, verify(t, log).Broken.Why, "put in")
}

func TestPrune_StopsAtTheFirstThatIsYoungEnough(t *testing.T) {
	log, db := openChain(t, filepath.Join(t.TempDir(), "berth.db"))
	add(t, log, db,
		event.Event{Kind: "old.fact", At: start.Add(-2 * time.Hour)},
		event.Event{Kind: "a.fact", At: start},
		event.Event{Kind: "fact.by_a_clock_set_back", At: start.Add(-2 * time.Hour)})
	removed, err := log.Prune(t.Context(), time.Time{}, start.Add(-time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, removed)
	require.True(t, verify(t, log).OK)
}

func TestPrune_KeepsWhatWasWrongWithWhatItRemoves(t *testing.T) {
	for name, c := range map[string]struct{ do, why string }{
		"altered":       {`UPDATE events SET actor = 'bo' WHERE id = 3`, "event 3 is not as it was written"},
		"removed":       {`DELETE FROM events WHERE id IN (1, 2)`, "event 3 2 events are missing before it"},
		"no place":      {`UPDATE events SET hash = NULL, position = NULL WHERE id = 5`, "one event is missing before it"}, // of what stays, too
		"anchor":        {`UPDATE event_chain SET anchor_hash = zeroblob(32)`, "the record of where the kept events begin was altered"},
		"put in before": {`INSERT INTO events (id, at, kind, position, hash) VALUES (0, 1, 'person.created', 1, zeroblob(32))`, "stands before the place"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, db := written(t, filepath.Join(t.TempDir(), "berth.db"))
			tamper(t, db, c.do)
			_, err := log.Prune(t.Context(), start, start.Add(5*time.Minute+time.Second))
			require.NoError(t, err)
			v := verify(t, log)
			require.False(t, v.OK)
			require.Contains(t, v.Broken.Why, c.why)
			records, err := log.Records(t.Context(), 0, event.Filter{Categories: []event.Category{event.Audit}}, 0)
			require.NoError(t, err)
			require.Len(t, records, 1)
			require.Contains(t, string(records[0].Data), `"why":`)

			// With age that goes too, and the chain is what is left of it.
			for range 2 {
				_, err = log.Prune(t.Context(), start, start.Add(time.Hour))
				require.NoError(t, err)
			}
			require.True(t, verify(t, log).OK)
		})
	}
}

func TestExport_GivesAllThatAFilterChoosesOldestFirst(t *testing.T) {
	log, db := openChain(t, filepath.Join(t.TempDir(), "berth.db"))
	const total = 2*event.Batch + 30
	events := make([]event.Event, total)
	for i := range events {
		events[i] = event.Event{Kind: "person.updated", Actor: "ana"}
	}
	add(t, log, db, events...)
	var ids []int64
	for r, err := range log.Export(t.Context(), event.Filter{Actor: "ANA"}) {
		require.NoError(t, err)
		require.Len(t, r.Hash, 64)
		ids = append(ids, r.ID)
		if len(ids) == 10 {
			add(t, log, db, event.Event{Kind: "person.updated", Actor: "ana"}) // after it was asked for
		}
	}
	require.Len(t, ids, total)
	require.IsIncreasing(t, ids)

	for range log.Export(t.Context(), event.Filter{}) {
		break // whoever has enough may go
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range log.Export(ended, event.Filter{}) {
		require.Error(t, err)
	}
}

func TestFilter_ChoosesWhatTheAuditAsksFor(t *testing.T) {
	log, db := openChain(t, filepath.Join(t.TempDir(), "berth.db"))
	add(t, log, db,
		event.Event{Kind: "signin.failed", Data: json.RawMessage(`{"username":"bo","address":"192.0.2.1"}`), At: start},
		event.Event{Kind: "person.disabled", Actor: "ana", Data: json.RawMessage(`{"username":"bo"}`), At: start.Add(time.Minute)},
		event.Event{Kind: "session.ended", Actor: "bo", At: start.Add(2 * time.Minute)},
		event.Event{Kind: "deployment.state", Actor: "ana", Project: "shop", Data: json.RawMessage(`{"reference":"shop:1.0_rc%"}`), At: start.Add(3 * time.Minute)},
		event.Event{Kind: "deployment.step", Project: "shop", At: start.Add(3 * time.Minute)},
		event.Event{Kind: event.DeploymentLog, Project: "shop", At: start.Add(3 * time.Minute)},
		event.Event{Kind: "instance.state", Project: "shop", At: start.Add(3 * time.Minute)},
		event.Event{Kind: "yet.unknown", At: start.Add(4 * time.Minute)},
	)
	for name, c := range map[string]struct {
		filter event.Filter
		ids    []int64
	}{
		"every category":     {event.Filter{Categories: event.Categories}, []int64{4, 3, 2, 1}},
		"one":                {event.Filter{Categories: []event.Category{event.Deployments}}, []int64{4}},
		"two":                {event.Filter{Categories: []event.Category{event.SignIns, event.People}}, []int64{2, 1}},
		"one without events": {event.Filter{Categories: []event.Category{event.Tokens}}, nil},
		"one that is none":   {event.Filter{Categories: []event.Category{"nonsense"}}, nil},
		"actor":              {event.Filter{Actor: "Ana"}, []int64{4, 2}},
		"person":             {event.Filter{Person: "bo"}, []int64{3, 2, 1}},
		"from":               {event.Filter{From: start.Add(3 * time.Minute), Categories: event.Categories}, []int64{4}},
		"until":              {event.Filter{Until: start.Add(time.Minute)}, []int64{1}},
		"text":               {event.Filter{Text: "192.0.2"}, []int64{1}},
		"text in any case":   {event.Filter{Text: "SIGNIN"}, []int64{1}},
		"text with signs":    {event.Filter{Text: "1.0_rc%"}, []int64{4}},
		"text of signs":      {event.Filter{Text: "%%"}, nil},
		"all at once":        {event.Filter{Actor: "ana", Project: "shop", Text: "rc", Categories: event.Categories, Kinds: []event.Kind{"deployment.state"}}, []int64{4}},
	} {
		t.Run(name, func(t *testing.T) {
			var ids []int64
			records, err := log.Records(t.Context(), 0, c.filter, 0)
			require.NoError(t, err)
			for _, r := range records {
				ids = append(ids, r.ID)
			}
			require.Equal(t, c.ids, ids)
		})
	}
	records, err := log.Records(t.Context(), 3, event.Filter{Categories: event.Categories}, 1)
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.EqualValues(t, 2, records[0].ID)
	require.Equal(t, event.People, records[0].Category)
}

func TestTamper_WithTheFileOfAStoppedServerShows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	log := event.New(event.Config{DB: db, Key: chainKey})
	add(t, log, db, event.Event{Kind: "signin.failed", Data: json.RawMessage(`{"address":"203.0.113.66"}`)}, event.Event{Kind: "a.fact"})
	require.NoError(t, db.Close())
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(file, []byte("203.0.113.66")))
	require.NoError(t, os.WriteFile(path, bytes.Replace(file, []byte("203.0.113.66"), []byte("203.0.113.67"), 1), 0o600))
	log, _ = openChain(t, path)
	require.EqualValues(t, 1, verify(t, log).Broken.Event)
}

// BenchmarkAppendFact is a fact a transaction, with the chain and without.
func BenchmarkAppendFact(b *testing.B) {
	for name, key := range map[string]secret.Text{"plain": {}, "chained": chainKey} {
		b.Run(name, func(b *testing.B) {
			_, db := openLog(b)
			log := event.New(event.Config{DB: db, Key: key})
			for b.Loop() {
				add(b, log, db, event.Event{Kind: "deployment.state", Project: "shop", Stage: "prod", Deployment: "d1"})
			}
		})
	}
}

// BenchmarkAppendFactIn100 is 100 facts in a transaction.
func BenchmarkAppendFactIn100(b *testing.B) {
	events := make([]event.Event, 100)
	for i := range events {
		events[i] = event.Event{Kind: "deployment.state", Project: "shop", Stage: "prod", Deployment: "d1"}
	}
	for name, key := range map[string]secret.Text{"plain": {}, "chained": chainKey} {
		b.Run(name, func(b *testing.B) {
			_, db := openLog(b)
			log := event.New(event.Config{DB: db, Key: key})
			for b.Loop() {
				add(b, log, db, events...)
			}
		})
	}
}

func BenchmarkVerify10k(b *testing.B) {
	log, db := openChain(b, filepath.Join(b.TempDir(), "berth.db"))
	events := make([]event.Event, 10_000)
	for i := range events {
		events[i] = event.Event{Kind: "deployment.state", Project: "shop", Stage: "prod", Deployment: "d1", Data: json.RawMessage(`{"state":"live"}`)}
	}
	add(b, log, db, events...)
	for b.Loop() {
		require.True(b, verify(b, log).OK)
	}
}
