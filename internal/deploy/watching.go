package deploy

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/sqlite"
)

// Watch is what is or was seen of a new release while it is watched.
type Watch struct {
	Phase    WatchPhase `json:"phase"`
	State    WatchState `json:"state"`
	Share    int        `json:"share,omitempty"` // of a canary: clients of a hundred
	Since    time.Time  `json:"since"`
	Until    time.Time  `json:"until"`             // when it is over, if all goes well
	Previous string     `json:"previous"`          // the deployment that the stage goes back to
	Release  string     `json:"release,omitempty"` // and its release
	Before   Seen       `json:"before"`            // of the release before
	Seen     Seen       `json:"seen"`
	Reason   string     `json:"reason,omitempty"` // why it ended early
}

// WatchPhase is when a release is watched.
type WatchPhase string

// The phases.
const (
	WatchCanary WatchPhase = "canary"
	WatchGuard  WatchPhase = "guard"
)

// WatchState is where a watch stands.
type WatchState string

// The states of a watch. Watching is the only one that changes.
const (
	Watching WatchState = "watching"
	Passed   WatchState = "passed"   // all went well
	Breached WatchState = "breached" // the release did worse than it may
	Ended    WatchState = "ended"    // somebody or something newer ended it
)

// Seen is what a release answered.
type Seen struct {
	Requests int64   `json:"requests"`
	Errors   int64   `json:"errors"`
	P95      float64 `json:"p95_ms"` // milliseconds that 95 of a hundred answers did not take longer than
	Restarts int     `json:"restarts"`
	Silent   int     `json:"silent"` // instances that stopped answering their probe
}

// errorRate is the share of errors, from 0 to 1.
func (s Seen) errorRate() float64 {
	return min(float64(s.Errors)/float64(max(s.Requests, 1)), 1)
}

func seenOf(a Answers) Seen {
	return Seen{Requests: a.Requests(), Errors: a.Errors, P95: float64(a.Within(.95)) / float64(time.Millisecond)}
}

// The pace of watching.
const (
	watchEvery = 500 * time.Millisecond
	silentRow  = 3 // failed probes in a row, for an instance to be silent
)

// watches are the watches that run, so that people can look at them and end
// them.
type watches struct {
	mu      sync.Mutex
	running map[string]*watching // by deployment
}

// watching is a watch that runs. It belongs to the attempt's goroutine, but
// for what mu guards.
type watching struct {
	s        *Service
	d        deployment
	guard    Guard
	before   Seen    // of the release before, in the minutes before
	began    Answers // what the release had answered when this began
	beside   string  // of a canary: the deployment it runs beside
	besideAt Answers
	samples  []sample

	mu    sync.Mutex
	watch Watch
	falls falls
	wake  chan struct{} // holds one
	end   string        // why somebody wants it to end; empty while nobody does
}

type sample struct {
	at  time.Time
	all Answers
}

// falls counts what befell the instances of a release.
type falls struct {
	restarts, silent int
	last             string
}

// spans are how far back a release is looked at, beside all of it.
var spans = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute}

// beginWatch begins to watch d, which had answered began until then. w says
// since when and until when, and what the release before answered.
func (s *Service) beginWatch(d deployment, g Guard, w Watch, began Answers) *watching {
	k := &watching{s: s, d: d, guard: g, before: w.Before, began: began, watch: w, wake: make(chan struct{}, 1)}
	if w.Phase == WatchCanary {
		k.beside, k.besideAt = w.Previous, s.meter.Answers(w.Previous)
	}
	s.watches.mu.Lock()
	defer s.watches.mu.Unlock()
	if s.watches.running == nil {
		s.watches.running = map[string]*watching{}
	}
	s.watches.running[d.ID] = k
	return k
}

// forget ends the watch for those who look it up.
func (k *watching) forget() {
	k.s.watches.mu.Lock()
	defer k.s.watches.mu.Unlock()
	delete(k.s.watches.running, k.d.ID)
}

// as gives the watch as it ended.
func (k *watching) as(o outcome) Watch {
	w := k.snapshot()
	w.State, w.Reason = o.state, o.reason
	if o.state != Passed {
		w.Until = k.s.now()
	}
	return w
}

// watchOf gives the watch of a deployment that runs; nil when none does.
func (s *Service) watchOf(deploymentID string) *watching {
	s.watches.mu.Lock()
	defer s.watches.mu.Unlock()
	return s.watches.running[deploymentID]
}

// look judges what was seen until now.
func (k *watching) look() Verdict {
	now := k.s.clock()
	all := k.s.meter.Answers(k.d.ID).Since(k.began)
	before := k.before
	if k.beside != "" {
		// What both answer at the same time compares best.
		if beside := k.s.meter.Answers(k.beside).Since(k.besideAt); beside.Requests() >= int64(k.guard.MinRequests) {
			before = seenOf(beside)
		}
	}
	k.samples = append(k.samples, sample{now, all})
	for len(k.samples) > 1 && now.Sub(k.samples[1].at) > spans[len(spans)-1] {
		k.samples = k.samples[1:]
	}
	w := Watched{Spans: make([]Answers, 0, len(spans)+1)}
	for _, span := range spans {
		w.Spans = append(w.Spans, all.Since(k.at(now.Add(-span))))
	}
	w.Spans = append(w.Spans, all)

	k.mu.Lock()
	defer k.mu.Unlock()
	w.Restarts, w.Silent, w.LastFall = k.falls.restarts, k.falls.silent, k.falls.last
	k.watch.Before, k.watch.Seen = before, seenOf(all)
	k.watch.Seen.Restarts, k.watch.Seen.Silent = w.Restarts, w.Silent
	return Judge(w, before, k.guard)
}

// at gives what was counted at a time, or at the last look before it.
func (k *watching) at(t time.Time) (found Answers) {
	for _, s := range k.samples {
		if s.at.After(t) {
			break
		}
		found = s.all
	}
	return found
}

// snapshot gives the watch as it stands.
func (k *watching) snapshot() Watch {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.watch
}

// endFor has a watch end well, because somebody says so.
func (k *watching) endFor(why string) {
	k.mu.Lock()
	k.end = why
	k.mu.Unlock()
	k.nudge()
}

func (k *watching) wanted() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.end
}

// nudge has the watch looked at now.
func (k *watching) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// fell counts an instance of a watched deployment that ended or stopped
// answering.
func (s *Service) fell(i Instance, silent bool, how string) {
	k := s.watchOf(i.Deployment)
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if silent {
		k.falls.silent++
	} else {
		k.falls.restarts++
	}
	k.falls.last = how
	k.nudge()
}

// outcome is how a watch came to its end.
type outcome struct {
	state  WatchState
	reason string
}

// errNewer ends what a newer request makes needless.
var errNewer = errors.New("a newer request came")

// run looks until the watch is over. gives says, of what waits for the
// stage's worker, whether it ends the watch. each is called at every look; its
// error ends the watch as one.
func (k *watching) run(ctx context.Context, gives func([]Trigger) bool, each func(context.Context) error) (outcome, error) {
	for {
		if v := k.look(); v.Breach {
			return outcome{Breached, v.Reason}, nil
		}
		if why := k.wanted(); why != "" {
			return outcome{Ended, why}, nil
		}
		now := k.s.clock()
		if !now.Before(k.snapshot().Until) {
			return outcome{Passed, ""}, nil
		}
		if err := each(ctx); err != nil {
			return outcome{}, err
		}
		var newer []Trigger
		err := k.s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
			if newer, err = newerWaits(ctx, tx, k.d); err != nil || k.watch.Phase == WatchCanary {
				return err
			}
			live, err := isLive(ctx, tx, k.d)
			return errors.Join(err, unless(live || err != nil, errTaken))
		})
		if err != nil {
			return outcome{}, err
		}
		if len(newer) > 0 && gives(newer) {
			return outcome{Ended, errNewer.Error()}, nil
		}
		if !k.pause(ctx, min(watchEvery, max(k.snapshot().Until.Sub(now), time.Millisecond))) {
			return outcome{}, errors.Join(context.Cause(ctx), errShutdown)
		}
	}
}

// pause waits for the next look; it says false when there is none.
func (k *watching) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.wake:
	case <-k.s.jobs.closing:
	case <-ctx.Done():
	}
	return ctx.Err() == nil && k.s.jobs.isOpen()
}

// probing asks the instances of a release whether they still answer, and tells
// of those that do not.
type probing struct {
	s         *Service
	spec      StageSpec
	instances func(context.Context) ([]Instance, error) // those to ask
	silent    func(context.Context, Instance, error)    // hears of one as it becomes so
	failed    map[string]int                            // in a row, by instance
}

// run asks again and again until ctx ends. What takes its time to answer keeps
// nobody else waiting.
func (p *probing) run(ctx context.Context) {
	every := min(max(time.Duration(p.spec.Probe.Interval), time.Second), beatEvery)
	for {
		next := time.Now().Add(every)
		p.look(ctx)
		if !pause(ctx, time.Until(next), nil) {
			return
		}
	}
}

func (p *probing) look(ctx context.Context) {
	instances, err := p.instances(ctx)
	if err != nil {
		return // asked again at the next look
	}
	results := make([]error, len(instances))
	var group errgroup.Group
	for n, i := range instances {
		group.Go(func() error { results[n] = p.s.probeOnce(ctx, p.spec, i.Address); return nil })
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return
	}
	before := p.failed
	p.failed = make(map[string]int, len(instances))
	for n, i := range instances {
		if results[n] == nil {
			continue
		}
		if p.failed[i.ID] = before[i.ID] + 1; p.failed[i.ID] == silentRow {
			p.silent(ctx, i, results[n])
		}
	}
}
