// Package event is the append-only log of what happened, written in the same
// transaction as the change that made it happen, and its live subscribers.
//
// Start with [Log.Append] to write, and [Log.Follow] to read on from a known
// id without loss or doubles. [Log.Verify] says whether the log is as it was
// written: see chain.go. What the kinds mean belongs to the packages that
// write them; which of them are audit is said in audit.go.
package event

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Kind names what happened, as "noun.verb": "deployment.live".
type Kind string

// DeploymentLog is the kind of one line of a deployment's log. It is an event
// like every other, so that one id resumes lines and states together; lists
// of what happened leave it out.
const DeploymentLog Kind = "deployment.log"

// Event is one fact. The names in it are what people read; they stay as they
// were when it happened.
type Event struct {
	ID         int64           `json:"id"`
	At         time.Time       `json:"at"`
	Kind       Kind            `json:"kind"`
	Actor      string          `json:"actor,omitempty"` // a username, or what acted: "registry", "berth"
	Project    string          `json:"project,omitempty"`
	Stage      string          `json:"stage,omitempty"`
	Deployment string          `json:"deployment,omitempty"`
	Instance   string          `json:"instance,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
}

// Filter chooses events. The zero Filter chooses all.
type Filter struct {
	Project    string
	Stage      string
	Deployment string
	Kinds      []Kind // any of these; all when empty
	NotKinds   []Kind // none of these

	Categories  []Category // any of these; all when empty, also what has none
	Actor       string     // who acted
	Person      string     // who acted or whom it was done to, by username
	From, Until time.Time  // From is within, Until is not
	Text        string     // is in it somewhere, in any case
}

// Config is what a Log needs.
type Config struct {
	DB *sqlite.DB
	// Key is what the chain's key is derived from, the same at each start. A
	// Log without one keeps no chain, and Verify refuses.
	Key   secret.Text
	Clock func() time.Time // time.Now when nil
	Log   *slog.Logger
}

// Log writes and reads events. Its methods may be called from many goroutines.
type Log struct {
	db    *sqlite.DB
	key   chainKey // nil when no chain is kept
	clock func() time.Time
	log   *slog.Logger

	mu   sync.Mutex
	wake chan struct{} // closed, and made anew, at each commit that holds events
}

// New checks c once.
func New(c Config) *Log {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Log{db: c.DB, key: newChainKey(c.Key), clock: c.Clock, log: c.Log, wake: make(chan struct{})}
}

// Append writes e in tx and wakes the followers once tx has committed; if it
// does not, nothing happened. The store gives the ID, and At is now when it is
// zero. data, when not nil, becomes e.Data as JSON.
func (l *Log) Append(ctx context.Context, tx *sqlite.Tx, e Event, data any) error {
	if e.At.IsZero() {
		e.At = l.clock()
	}
	if data != nil {
		raw, err := json.Marshal(data)
		if err != nil {
			return fmt.Errorf("encode event %s: %w", e.Kind, err)
		}
		e.Data = raw
	}
	if len(e.Data) == 0 {
		e.Data = []byte("{}")
	}
	write := l.appendLink
	if l.key == nil || e.Kind == DeploymentLog {
		write = insert
	}
	if err := write(ctx, tx, e); err != nil {
		return fmt.Errorf("append event %s: %w", e.Kind, err)
	}
	tx.OnCommit(l.notify)
	return nil
}

func (l *Log) notify() {
	l.mu.Lock()
	close(l.wake)
	l.wake = make(chan struct{})
	l.mu.Unlock()
}

// changed gives a channel that closes at the next commit that holds events.
func (l *Log) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wake
}

// Last gives the newest event's id, 0 when there is none.
func (l *Log) Last(ctx context.Context) (id int64, err error) {
	err = l.db.Read(ctx, func(tx *sqlite.Tx) error {
		id, err = last(ctx, tx)
		return err
	})
	return id, err
}

// Since lists up to limit events with an id above after, oldest first. A limit
// of 0 means Batch.
func (l *Log) Since(ctx context.Context, after int64, f Filter, limit int) (list []Event, err error) {
	err = l.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = since(ctx, tx, after, f, orBatch(limit))
		return err
	})
	return list, err
}

// Before lists up to limit events with an id below before (0: from the
// newest), newest first. A limit of 0 means Batch.
func (l *Log) Before(ctx context.Context, before int64, f Filter, limit int) (list []Event, err error) {
	err = l.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = earlier(ctx, tx, before, f, orBatch(limit))
		return err
	})
	return list, err
}

// Batch is how many events Follow reads at a time: a follower that is slow
// holds no more than this in memory.
const Batch = 512

func orBatch(limit int) int {
	if limit <= 0 {
		return Batch
	}
	return limit
}

// Follow gives every event above after that f chooses, each once, in the order
// of their ids, and then those that come, until ctx ends. It reads from the
// store, so a slow follower loses nothing and costs no memory. The second
// value is the error that ended it; there is none when ctx ended it.
//
// Nothing slips in behind: one transaction writes at a time, so ids become
// visible in their order.
func (l *Log) Follow(ctx context.Context, after int64, f Filter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for ctx.Err() == nil {
			// Taken before the read, so that a commit between the two is seen.
			wake := l.changed()
			list, upTo, err := l.next(ctx, after, f)
			if err != nil {
				if ctx.Err() == nil {
					yield(Event{}, err)
				}
				return
			}
			for _, e := range list {
				if ctx.Err() != nil || !yield(e, nil) {
					return
				}
			}
			after = upTo
			if len(list) == Batch {
				continue
			}
			select {
			case <-ctx.Done():
			case <-wake:
			}
		}
	}
}

// next reads a batch and says up to which id the log has been read by it: for
// a filter that chooses little, that is far beyond the last event chosen.
func (l *Log) next(ctx context.Context, after int64, f Filter) (list []Event, upTo int64, err error) {
	err = l.db.Read(ctx, func(tx *sqlite.Tx) error {
		if list, err = since(ctx, tx, after, f, Batch); err != nil {
			return err
		}
		if len(list) == Batch {
			upTo = list[Batch-1].ID
			return nil
		}
		newest, err := last(ctx, tx)
		upTo = max(after, newest)
		return err
	})
	return list, upTo, err
}

// Prune removes what is older: log lines before logs, all other events before
// facts. It says how many rows went. It does so in steps, between which others
// write.
func (l *Log) Prune(ctx context.Context, logs, facts time.Time) (removed int64, err error) {
	for _, remove := range []struct {
		do     func(context.Context, *sqlite.Tx, time.Time, int) (int64, error)
		before time.Time
	}{{pruneLines, logs}, {l.pruneFacts, facts}} {
		for {
			var step int64
			err := l.db.Write(ctx, func(tx *sqlite.Tx) error {
				step, err = remove.do(ctx, tx, remove.before, pruneStep)
				return err
			})
			removed += step
			if err != nil {
				return removed, fmt.Errorf("prune events: %w", err)
			}
			if step < pruneStep {
				break
			}
		}
	}
	if removed > 0 {
		l.log.InfoContext(ctx, "old events removed", "events", removed)
	}
	return removed, nil
}

// pruneStep is how many rows one transaction removes.
const pruneStep = 2000

// where turns a filter into SQL conditions and their arguments.
func (f Filter) where() (conditions []string, args []any) {
	add := func(condition string, values ...any) {
		conditions = append(conditions, condition)
		args = append(args, values...)
	}
	if f.Project != "" {
		add("project = ?", f.Project)
	}
	if f.Stage != "" {
		add("stage = ?", f.Stage)
	}
	if f.Deployment != "" {
		add("deployment = ?", f.Deployment)
	}
	kinds := func(operator string, kinds []Kind) {
		values := make([]any, len(kinds))
		for i, k := range kinds {
			values[i] = string(k)
		}
		add("kind "+operator+" (?"+strings.Repeat(", ?", len(kinds)-1)+")", values...)
	}
	f.audited(add)
	if len(f.Kinds) > 0 {
		kinds("IN", f.Kinds)
	}
	rest := slices.DeleteFunc(slices.Clone(f.NotKinds), func(k Kind) bool { return k == DeploymentLog })
	if len(rest) < len(f.NotKinds) {
		// Written out: for a value that is bound, SQLite can not know that the
		// index of all but log lines serves.
		add(notLogLine)
	}
	if len(rest) > 0 {
		kinds("NOT IN", rest)
	}
	return conditions, args
}
