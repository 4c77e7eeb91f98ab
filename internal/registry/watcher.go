package registry

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/event"
	"berth/internal/sqlite"
)

// ImageFound is the kind of event that says that a tag elsewhere is new, or
// has moved. Its data is a Found.
const ImageFound event.Kind = "image.found"

// The kinds of events that say that a watched image can't be looked at for a
// while, and that it can be again. Their data is a SourceTurn.
const (
	SourceFails    event.Kind = "source.failing"
	SourceRecovers event.Kind = "source.recovered"
)

// SourceTurn is the data of SourceFails and SourceRecovers.
type SourceTurn struct {
	Repository string `json:"repository"`
	Error      string `json:"error,omitempty"` // what the last look failed with, for a person
}

// Interest is an image that a project has, and the tags of it that its stages
// deploy by themselves.
type Interest struct {
	Project    string
	Repository string
	Rules      []Rule
}

// Interests says what is to be watched. It is asked anew after each event of
// one of the kinds.
type Interests interface {
	Interests(ctx context.Context) ([]Interest, error)
	InterestKinds() []event.Kind
}

// WatcherConfig is what a Watcher needs.
type WatcherConfig struct {
	Resolver  *Resolver
	Interests Interests
	Clock     func() time.Time // time.Now when nil
	Log       *slog.Logger
}

// Watcher looks at the images that projects have in other registries: each
// repository once in its interval, however many stages have it, and at what a
// webhook hints at, soon. When a tag is new or has moved it writes an event
// ImageFound with the digest, in one transaction. Its methods may be called
// from many goroutines.
//
// One timer and a few workers serve all repositories, so that a thousand of
// them cost next to nothing between their polls.
type Watcher struct {
	resolver  *Resolver
	db        *sqlite.DB
	events    *event.Log
	interests Interests
	clock     func() time.Time
	log       *slog.Logger
	meter     watchMeter
	wake      chan struct{} // holds one: what is due may have changed

	mu      sync.Mutex
	watched map[string]*watching // by repository, in its one spelling
	paused  map[string]time.Time // hosts that asked to wait, until when
	running map[string]int       // looks under way, by host
}

// watching is one repository that is watched. What is not said otherwise is
// guarded by the Watcher's mu.
type watching struct {
	repository string   // its one spelling
	spellings  []string // of projects, such as docker.io/nginx
	host       string
	projects   []string
	rules      []Rule
	interval   time.Duration // 0: not polled

	state   watchState
	missing []string // the tags of rules for one tag that are not there

	busy    bool      // a worker looks at it
	asked   bool      // a person wants it polled now
	hinted  bool      // there are hints to look up
	notYet  time.Time // no hint is looked up before
	unsaved bool      // state is newer than its row

	asker *asker // the busy worker's alone
	turn  string // the busy worker's alone
	// absent are new tags of the list that were not there when they were looked
	// up, while there are others to look up. The busy worker's alone.
	absent map[string]bool
}

const (
	// workers bounds the looks at one time, of all hosts and of one.
	workers    = 8
	ofOneHost  = 2
	hintPause  = 2 * time.Second  // between looks at the hints of one repository
	hintRetry  = 10 * time.Second // after the first that failed; then twice as long each time
	mostTries  = 3                // looks at a hinted tag that is not there yet
	saveEvery  = 30 * time.Second // when what changes with every poll is written down
	settleTick = time.Second      // changes to stages that come together are read together
	// spread is between the polls of repositories that are all due at once, as
	// after a start. A poll takes about 3 ms of processor time (docs/benchmarks.md),
	// so that a thousand of them take less than 2 % of a core, and 200 s.
	spread = 200 * time.Millisecond
)

// NewWatcher makes a Watcher of c.
func NewWatcher(c WatcherConfig) (*Watcher, error) {
	if c.Resolver == nil || c.Interests == nil {
		return nil, errors.New("registry: a watcher needs a resolver and what to watch")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{
		resolver: c.Resolver, db: c.Resolver.db, events: c.Resolver.events, interests: c.Interests,
		clock: c.Clock, log: c.Log, wake: make(chan struct{}, 1),
		watched: map[string]*watching{}, paused: map[string]time.Time{}, running: map[string]int{},
	}, nil
}

// Run watches until ctx ends, and waits for the looks under way.
func (w *Watcher) Run(ctx context.Context) error {
	var group sync.WaitGroup
	group.Go(func() { w.follow(ctx) })
	group.Go(func() { w.keepSaved(ctx) })
	group.Go(func() { w.dispatch(ctx) })
	group.Wait()
	return w.save(context.WithoutCancel(ctx))
}

// follow reads what to watch, and again when it may have changed, until ctx
// ends.
func (w *Watcher) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.followFrom(ctx)
		if ctx.Err() != nil {
			return
		}
		w.log.ErrorContext(ctx, "what to watch could not be read; trying again", "error", err)
		sleep(ctx, hintRetry)
	}
}

func (w *Watcher) followFrom(ctx context.Context) error {
	last, err := w.events.Last(ctx)
	if err != nil {
		return err
	}
	kinds := append(slices.Clone(w.interests.InterestKinds()), AccountSet, AccountGone)
	changed := make(chan struct{}, 1)
	changed <- struct{}{}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for _, err := range w.events.Follow(ctx, last, event.Filter{Kinds: kinds}) {
			if err != nil {
				return err
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		return ctx.Err()
	})
	group.Go(func() error { return w.reloadAt(ctx, changed) })
	return group.Wait()
}

// reloadAt reads what to watch at each change: at once, and then at most once
// a second.
func (w *Watcher) reloadAt(ctx context.Context, changed <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		if err := w.reload(ctx); err != nil {
			return err
		}
		sleep(ctx, settleTick)
	}
}

// sleep waits until d has passed or ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// keepSaved writes down, now and then, what changes with every poll.
func (w *Watcher) keepSaved(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.save(ctx); err != nil && ctx.Err() == nil {
			w.log.ErrorContext(ctx, "state of watched images not written down; trying again", "error", err)
		}
	}
}

// dispatch gives what is due to workers until ctx ends, and waits for them.
func (w *Watcher) dispatch(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		due, next := w.takeDue(w.clock())
		for _, it := range due {
			group.Go(func() {
				w.look(ctx, it)
				w.release(it)
			})
		}
		timer.Reset(next)
	}
}

// takeDue takes what is to be looked at now, and says how long until there may
// be more. Workers that end say so by themselves.
func (w *Watcher) takeDue(now time.Time) (due []*watching, next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next = time.Hour
	total := 0
	for _, n := range w.running {
		total += n
	}
	for _, it := range w.watched {
		at, ok := it.due(w.paused[it.host])
		if !ok {
			continue
		}
		if wait := at.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		if total < workers && w.running[it.host] < ofOneHost {
			it.busy = true
			w.running[it.host]++
			total++
			due = append(due, it)
		}
	}
	return due, next
}

// due says when to look at a repository; not at all when it is looked at now,
// or when there is no reason to.
func (it *watching) due(paused time.Time) (at time.Time, ok bool) {
	if it.busy {
		return at, false
	}
	consider := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if it.asked {
		consider(time.Time{})
	}
	if it.hinted {
		consider(it.notYet)
	}
	if it.interval > 0 {
		consider(it.state.next)
	}
	if at.Before(paused) {
		at = paused
	}
	return at, ok
}

func (w *Watcher) release(it *watching) {
	w.mu.Lock()
	it.busy = false
	if w.running[it.host]--; w.running[it.host] == 0 {
		delete(w.running, it.host)
	}
	w.mu.Unlock()
	w.nudge()
}

// nudge has the dispatcher look at what is due.
func (w *Watcher) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// reload brings what is watched to what is of interest.
func (w *Watcher) reload(ctx context.Context) error {
	interests, err := w.interests.Interests(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]*watching{}
	for _, i := range interests {
		name, err := normalRepository(i.Repository)
		host, _ := splitHost(name)
		if err != nil || host == "" || len(i.Rules) == 0 {
			continue // pushes to the built-in registry are known of anyway
		}
		it := wanted[name]
		if it == nil {
			it = &watching{repository: name, host: host}
			wanted[name] = it
		}
		it.add(i)
	}
	accounts, err := w.resolver.Accounts(ctx)
	if err != nil {
		return err
	}
	stored, err := w.syncRows(ctx, wanted)
	if err != nil {
		return err
	}
	w.take(wanted, accounts, stored)
	w.nudge()
	return nil
}

func (it *watching) add(i Interest) {
	if !slices.Contains(it.spellings, i.Repository) {
		it.spellings = append(it.spellings, i.Repository)
	}
	if !slices.Contains(it.projects, i.Project) {
		it.projects = append(it.projects, i.Project)
	}
	for _, r := range i.Rules {
		if !slices.ContainsFunc(it.rules, func(have Rule) bool { return have.Name == r.Name }) {
			it.rules = append(it.rules, r)
		}
	}
}

// take makes wanted what is watched. What was watched before goes on where it
// stands; what is new, or overdue since the last process, comes one by one
// rather than all at once.
func (w *Watcher) take(wanted map[string]*watching, accounts []RegistryAccount, stored map[string]storedWatch) {
	intervals := map[string]Interval{}
	for _, a := range accounts {
		intervals[a.Host] = a.PollInterval
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now, news := w.clock(), 0
	for repository, it := range wanted {
		it.interval = intervals[it.host].usual()
		have := w.watched[repository]
		if have == nil {
			row := stored[repository]
			it.state, it.hinted = row.state, row.hinted
			if it.state.next.Before(now) {
				it.state.next = now.Add(time.Duration(news) * spread)
				news++
			}
			w.watched[repository] = it
			continue
		}
		if newRule(have.rules, it.rules) || have.interval == 0 {
			have.state.next = now // to see what is there before anything comes
		}
		if it.interval > 0 && have.state.failures == 0 {
			have.state.next = earlier(have.state.next, now.Add(it.interval))
		}
		have.projects, have.spellings, have.rules, have.interval = it.projects, it.spellings, it.rules, it.interval
	}
	for repository := range w.watched {
		if wanted[repository] == nil {
			delete(w.watched, repository)
		}
	}
}

func newRule(have, want []Rule) bool {
	return slices.ContainsFunc(want, func(r Rule) bool {
		return !slices.ContainsFunc(have, func(h Rule) bool { return h.Name == r.Name })
	})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// jitter is where in its spread a poll falls; it is no secret.
func jitter() float64 { return rand.Float64() } //nolint:gosec // it only spreads polls
