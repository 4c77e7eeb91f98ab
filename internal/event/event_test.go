package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/sqlite"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func openLog(tb testing.TB) (*event.Log, *sqlite.DB) {
	tb.Helper()
	db, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(tb.TempDir(), "berth.db")})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return event.New(event.Config{DB: db, Clock: func() time.Time { return start }}), db
}

// add appends events, all in one transaction.
func add(tb testing.TB, log *event.Log, db *sqlite.DB, events ...event.Event) {
	tb.Helper()
	require.NoError(tb, db.Write(tb.Context(), func(tx *sqlite.Tx) error {
		for _, e := range events {
			if err := log.Append(tb.Context(), tx, e, nil); err != nil {
				return err
			}
		}
		return nil
	}))
}

func kinds(events []event.Event) (kinds []event.Kind) {
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestAppend_KeepsWhatItWasGiven(t *testing.T) {
	log, db := openLog(t)
	given := event.Event{
		Kind: "deployment.state", Actor: "ana", Project: "shop", Stage: "prod", Deployment: "d1", Instance: "i1",
		At: start.Add(-time.Hour),
	}
	require.NoError(t, db.Write(t.Context(), func(tx *sqlite.Tx) error {
		return log.Append(t.Context(), tx, given, map[string]any{"state": "live"})
	}))
	list, err := log.Since(t.Context(), 0, event.Filter{}, 0)
	require.NoError(t, err)
	given.ID, given.Data = 1, json.RawMessage(`{"state":"live"}`)
	require.Equal(t, []event.Event{given}, list)

	add(t, log, db, event.Event{Kind: "bare.fact"})
	list, err = log.Since(t.Context(), 1, event.Filter{}, 0)
	require.NoError(t, err)
	require.Equal(t, []event.Event{{ID: 2, Kind: "bare.fact", At: start, Data: json.RawMessage("{}")}}, list)
}

func TestAppend_IsNothingWithoutItsCommit(t *testing.T) {
	log, db := openLog(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	seen := make(chan event.Event)
	var work sync.WaitGroup
	work.Go(func() {
		for e, err := range log.Follow(ctx, 0, event.Filter{}) {
			if err != nil {
				t.Error(err)
				return
			}
			seen <- e
		}
	})

	stop := errors.New("stop")
	require.ErrorIs(t, db.Write(ctx, func(tx *sqlite.Tx) error {
		require.NoError(t, log.Append(ctx, tx, event.Event{Kind: "never.happened"}, nil))
		return stop
	}), stop)
	last, err := log.Last(ctx)
	require.NoError(t, err)
	require.Zero(t, last)

	require.NoError(t, db.Write(ctx, func(tx *sqlite.Tx) error {
		require.NoError(t, log.Append(ctx, tx, event.Event{Kind: "did.happen"}, nil))
		last, err := log.Last(ctx)
		require.NoError(t, err)
		require.Zero(t, last, "not before its commit")
		return nil
	}))
	require.Equal(t, event.Kind("did.happen"), (<-seen).Kind)
	cancel()
	work.Wait()
}

func TestAppend_RefusesDataThatIsNoJSON(t *testing.T) {
	log, db := openLog(t)
	err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		return log.Append(t.Context(), tx, event.Event{Kind: "bad.data"}, make(chan int))
	})
	require.ErrorContains(t, err, "encode event bad.data")
}

func TestFollow_GivesEachEventOnceInOrderFromManyWriters(t *testing.T) {
	log, db := openLog(t)
	const writers, each, followers = 6, 60, 4
	total := 0
	for w := range writers {
		for i := range each {
			total += (w+i)%3 + 1
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()

	var writing, following sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				err := db.Write(ctx, func(tx *sqlite.Tx) error {
					for range (w+i)%3 + 1 {
						if err := log.Append(ctx, tx, event.Event{Kind: "a.fact", Actor: strconv.Itoa(w)}, nil); err != nil {
							return err
						}
					}
					if rand.IntN(8) == 0 {
						return errRolledBack
					}
					return nil
				})
				if errors.Is(err, errRolledBack) {
					err = db.Write(ctx, func(tx *sqlite.Tx) error {
						for range (w+i)%3 + 1 {
							if err := log.Append(ctx, tx, event.Event{Kind: "a.fact", Actor: strconv.Itoa(w)}, nil); err != nil {
								return err
							}
						}
						return nil
					})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range followers {
		following.Go(func() {
			// Stops and resumes where it was, as a browser that reconnects.
			last, count := int64(0), 0
			for count < total && ctx.Err() == nil {
				leave := rand.IntN(50) + 1
				for e, err := range log.Follow(ctx, last, event.Filter{}) {
					if err != nil || e.ID <= last {
						t.Error(err, e.ID, last)
						return
					}
					last = e.ID
					count++
					if leave--; leave == 0 || count == total {
						break
					}
				}
			}
			if count != total {
				t.Errorf("saw %d of %d", count, total)
			}
		})
	}
	writing.Wait()
	following.Wait()
	all, err := log.Since(t.Context(), 0, event.Filter{}, total+1)
	require.NoError(t, err)
	require.Len(t, all, total)
}

var errRolledBack = errors.New("rolled back")

func TestFollow_ASlowFollowerLosesNothing(t *testing.T) {
	log, db := openLog(t)
	const total = 3*event.Batch + 17
	add(t, log, db, event.Event{Kind: "a.fact"})
	next := int64(0)
	for e, err := range log.Follow(t.Context(), 0, event.Filter{}) {
		require.NoError(t, err)
		next++
		require.Equal(t, next, e.ID)
		if next == 1 { // while it is busy with the first, all the others come
			for range total - 1 {
				add(t, log, db, event.Event{Kind: "a.fact"})
			}
		}
		if next == total {
			break
		}
	}
}

func TestFollow_EndsQuietlyWithItsContext(t *testing.T) {
	log, db := openLog(t)
	add(t, log, db, event.Event{Kind: "a.fact"}, event.Event{Kind: "a.fact"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := 0
	for _, err := range log.Follow(ctx, 0, event.Filter{}) {
		require.NoError(t, err)
		got++
		cancel()
	}
	require.Equal(t, 1, got, "nothing after the end")
}

func TestFollow_SaysWhatEndedIt(t *testing.T) {
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	log := event.New(event.Config{DB: db})
	require.NoError(t, db.Close())
	ended := 0
	for _, err := range log.Follow(t.Context(), 0, event.Filter{}) {
		require.Error(t, err)
		ended++
	}
	require.Equal(t, 1, ended)
}

func TestFilter_ChoosesByNamesAndKinds(t *testing.T) {
	log, db := openLog(t)
	add(t, log, db,
		event.Event{Kind: "project.created", Project: "shop"},
		event.Event{Kind: "stage.created", Project: "shop", Stage: "prod"},
		event.Event{Kind: event.DeploymentLog, Project: "shop", Stage: "prod", Deployment: "d1"},
		event.Event{Kind: "deployment.state", Project: "shop", Stage: "prod", Deployment: "d1"},
		event.Event{Kind: "stage.created", Project: "blog", Stage: "prod"},
		event.Event{Kind: "person.created"},
	)
	for name, test := range map[string]struct {
		filter event.Filter
		ids    []int64
	}{
		"all":                    {event.Filter{}, []int64{1, 2, 3, 4, 5, 6}},
		"project":                {event.Filter{Project: "shop"}, []int64{1, 2, 3, 4}},
		"project and stage":      {event.Filter{Project: "shop", Stage: "prod"}, []int64{2, 3, 4}},
		"stage":                  {event.Filter{Stage: "prod"}, []int64{2, 3, 4, 5}},
		"deployment":             {event.Filter{Deployment: "d1"}, []int64{3, 4}},
		"kinds":                  {event.Filter{Kinds: []event.Kind{"person.created", "project.created"}}, []int64{1, 6}},
		"not log lines":          {event.Filter{NotKinds: []event.Kind{event.DeploymentLog}}, []int64{1, 2, 4, 5, 6}},
		"not these":              {event.Filter{NotKinds: []event.Kind{"stage.created", event.DeploymentLog}}, []int64{1, 4, 6}},
		"kinds and not":          {event.Filter{Kinds: []event.Kind{"stage.created"}, NotKinds: []event.Kind{"stage.created"}}, nil},
		"everything at once":     {event.Filter{Project: "shop", Stage: "prod", Deployment: "d1", Kinds: []event.Kind{"deployment.state"}, NotKinds: []event.Kind{event.DeploymentLog}}, []int64{4}},
		"a name that is nowhere": {event.Filter{Project: "' OR 1=1 --"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ids := func(events []event.Event, err error) (ids []int64) {
				require.NoError(t, err)
				for _, e := range events {
					ids = append(ids, e.ID)
				}
				return ids
			}
			require.Equal(t, test.ids, ids(log.Since(t.Context(), 0, test.filter, 0)))
			newestFirst := ids(log.Before(t.Context(), 0, test.filter, 0))
			slices.Reverse(newestFirst)
			require.Equal(t, test.ids, newestFirst)
			if len(test.ids) > 0 {
				var followed []int64
				for e, err := range log.Follow(t.Context(), 0, test.filter) {
					require.NoError(t, err)
					if followed = append(followed, e.ID); len(followed) == len(test.ids) {
						break
					}
				}
				require.Equal(t, test.ids, followed)
			}
		})
	}
}

func TestBefore_PagesFromTheNewest(t *testing.T) {
	log, db := openLog(t)
	for i := range 5 {
		add(t, log, db, event.Event{Kind: event.Kind(fmt.Sprintf("fact.%d", i+1))})
	}
	page, err := log.Before(t.Context(), 0, event.Filter{}, 2)
	require.NoError(t, err)
	require.Equal(t, []event.Kind{"fact.5", "fact.4"}, kinds(page))
	page, err = log.Before(t.Context(), page[1].ID, event.Filter{}, 2)
	require.NoError(t, err)
	require.Equal(t, []event.Kind{"fact.3", "fact.2"}, kinds(page))
}

func TestPrune_RemovesOldLinesBeforeOldFactsAndReusesNoID(t *testing.T) {
	log, db := openLog(t)
	day := 24 * time.Hour
	add(t, log, db,
		event.Event{Kind: "old.fact", At: start.Add(-90 * day)},
		event.Event{Kind: event.DeploymentLog, At: start.Add(-90 * day)},
		event.Event{Kind: "fact", At: start.Add(-20 * day)},
		event.Event{Kind: event.DeploymentLog, At: start.Add(-20 * day)},
		event.Event{Kind: event.DeploymentLog, At: start},
	)
	removed, err := log.Prune(t.Context(), start.Add(-10*day), start.Add(-60*day))
	require.NoError(t, err)
	require.EqualValues(t, 3, removed)
	left, err := log.Since(t.Context(), 0, event.Filter{}, 0)
	require.NoError(t, err)
	require.Equal(t, []event.Kind{"fact", event.DeploymentLog}, kinds(left))

	removed, err = log.Prune(t.Context(), time.Time{}, time.Time{})
	require.NoError(t, err)
	require.Zero(t, removed, "the zero time keeps all")

	removed, err = log.Prune(t.Context(), start.Add(day), start.Add(day))
	require.NoError(t, err)
	require.EqualValues(t, 2, removed)
	add(t, log, db, event.Event{Kind: "after"})
	last, err := log.Last(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 6, last, "a follower that stood at 5 sees it")
}

func TestPrune_GoesOnThroughManySteps(t *testing.T) {
	log, db := openLog(t)
	lines := make([]event.Event, 4500)
	for i := range lines {
		lines[i] = event.Event{Kind: event.DeploymentLog, Deployment: "d1", At: start.Add(-time.Hour)}
	}
	add(t, log, db, lines...)
	add(t, log, db, event.Event{Kind: event.DeploymentLog, At: start})
	removed, err := log.Prune(t.Context(), start, start)
	require.NoError(t, err)
	require.EqualValues(t, 4500, removed)
	left, err := log.Since(t.Context(), 0, event.Filter{}, 0)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func BenchmarkAppend(b *testing.B) {
	log, db := openLog(b)
	for b.Loop() {
		add(b, log, db, event.Event{Kind: event.DeploymentLog, Project: "shop", Stage: "prod", Deployment: "d1"})
	}
}

// fill writes 10,000 events: 100 deployments of 99 lines and one state each.
func fill(b *testing.B, log *event.Log, db *sqlite.DB) {
	b.Helper()
	for d := range 100 {
		events := make([]event.Event, 100)
		for i := range events {
			events[i] = event.Event{Kind: event.DeploymentLog, Project: "shop", Stage: "prod", Deployment: fmt.Sprint("d", d), Data: []byte(`{"text":"a line of a log"}`)}
		}
		events[99].Kind = "deployment.state"
		add(b, log, db, events...)
	}
}

func BenchmarkSince10k(b *testing.B) {
	log, db := openLog(b)
	fill(b, log, db)
	for b.Loop() {
		list, err := log.Since(b.Context(), 0, event.Filter{}, 10_000)
		require.NoError(b, err)
		require.Len(b, list, 10_000)
	}
}

func BenchmarkActivity(b *testing.B) {
	log, db := openLog(b)
	fill(b, log, db)
	for name, filter := range map[string]event.Filter{"all": {}, "project": {Project: "shop"}} {
		filter.NotKinds = []event.Kind{event.DeploymentLog}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				list, err := log.Before(b.Context(), 0, filter, 50)
				require.NoError(b, err)
				require.Len(b, list, 50)
			}
		})
	}
}
