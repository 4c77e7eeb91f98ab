package deploy

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Why a deployment's context ended.
var (
	errCanceled = errors.New("canceled by a person")
	errShutdown = errors.New("stopping")
	errRemoved  = errors.New("the stage is being removed")
)

// jobs runs at most one goroutine of a sort for each stage, on demand: a stage
// that has nothing to do costs nothing.
type jobs struct {
	mu      sync.Mutex
	open    bool
	begin   map[string]beginning // by sort
	closing chan struct{}
	running map[jobKey]*job
	cancels map[string]context.CancelCauseFunc // by deployment
	barred  map[string]int                     // stages that get no job
	group   sync.WaitGroup
}

// The sorts of jobs.
const (
	jobDeploy  = "deploy"
	jobGiveWay = "give way"
	jobKeep    = "keep"
	jobReroute = "reroute"
	jobRuns    = "runs" // of scheduled jobs
)

type jobKey struct{ sort, stage string }

// beginning gives what a job of its sort does, once, and how to end that.
type beginning func(stage string, wake <-chan struct{}) (run func(), end context.CancelCauseFunc)

// under makes the beginning of jobs that run under ctx.
func under(ctx context.Context, run func(ctx context.Context, stage string, wake <-chan struct{})) beginning {
	return func(stage string, wake <-chan struct{}) (func(), context.CancelCauseFunc) {
		ctx, end := context.WithCancelCause(ctx)
		return func() { run(ctx, stage, wake) }, end
	}
}

type job struct {
	wake chan struct{} // holds one: there is more to look at
	end  context.CancelCauseFunc
	done chan struct{}
}

// admit begins the taking of new work. Where it is taken already, what runs
// stays known.
func (j *jobs) admit(begin map[string]beginning) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open {
		return
	}
	j.open, j.begin, j.closing = true, begin, make(chan struct{})
	j.running, j.cancels = map[jobKey]*job{}, map[string]context.CancelCauseFunc{}
	if j.barred == nil {
		j.barred = map[string]int{}
	}
}

// refuse ends the taking of new work. What runs goes on.
func (j *jobs) refuse() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open {
		j.open = false
		close(j.closing)
	}
}

// isOpen says whether new work may be begun.
func (j *jobs) isOpen() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.open
}

// pause waits, and says false when there is nothing to wait for any more.
func (j *jobs) pause(ctx context.Context, d time.Duration) bool {
	return pause(ctx, d, j.closing) && j.isOpen()
}

// start runs a job for the stage, or wakes the one that runs. It does nothing
// while no work is taken: what is written down is then found at the start.
func (j *jobs) start(key jobKey) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.open || j.barred[key.stage] > 0 {
		return
	}
	if r := j.running[key]; r != nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
		return
	}
	r := &job{wake: make(chan struct{}, 1), done: make(chan struct{})}
	run, end := j.begin[key.sort](key.stage, r.wake)
	r.end = end
	j.running[key] = r
	j.group.Go(func() {
		defer close(r.done)
		for {
			run()
			if j.over(key, r) {
				return
			}
		}
	})
}

// over says that a job has nothing left to do and is forgotten.
func (j *jobs) over(key jobKey, r *job) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-r.wake:
		if j.open && j.barred[key.stage] == 0 {
			return false
		}
	default:
	}
	r.end(nil)
	delete(j.running, key)
	return true
}

// bar ends a stage's jobs, waits for them, and lets none begin until lift is
// called.
func (j *jobs) bar(ctx context.Context, stage string) (lift func(), err error) {
	j.mu.Lock()
	if j.barred == nil {
		j.barred = map[string]int{} // no work was taken yet
	}
	j.barred[stage]++
	var wait []*job
	for key, r := range j.running {
		if key.stage == stage {
			r.end(errRemoved)
			wait = append(wait, r)
		}
	}
	j.mu.Unlock()
	lift = func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.barred[stage]--; j.barred[stage] == 0 {
			delete(j.barred, stage)
		}
	}
	for _, r := range wait {
		select {
		case <-r.done:
		case <-ctx.Done():
			lift()
			return nil, ctx.Err()
		}
	}
	return lift, nil
}

// track gives the context of a deployment, which cancel ends.
func (j *jobs) track(ctx context.Context, deployment string) (tracked context.Context, untrack func()) {
	tracked, end := context.WithCancelCause(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cancels[deployment] = end
	return tracked, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.cancels, deployment)
		end(nil)
	}
}

func (j *jobs) cancel(deployment string, why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if end := j.cancels[deployment]; end != nil {
		end(why)
	}
}

// locks holds one lock for each stage that somebody holds or waits for.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	sync.Mutex
	users int
}

// hold takes a stage's lock.
func (l *locks) hold(stage string) (release func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	k := l.held[stage]
	if k == nil {
		k = &lock{}
		l.held[stage] = k
	}
	k.users++
	l.mu.Unlock()
	k.Lock()
	return func() {
		k.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, stage)
		}
	}
}
