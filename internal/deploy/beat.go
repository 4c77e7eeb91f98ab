package deploy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// The pace of the beats.
const (
	beatEvery   = 10 * time.Second
	beatGap     = 50 * time.Millisecond // between two turns, at least
	beatsAtOnce = 64
	beatsMissed = 3 // in a row, of an instance that is lost
)

// beats probes the instances that requests go to, again and again. It knows
// them by their routes, so that a beat costs its probe and no more. One
// goroutine gives them their turns, spread evenly over each round.
type beats struct {
	every time.Duration
	ask   func(context.Context, target) error
	lost  func(context.Context, target, error) // called at each beat from the one on that makes it lost
	hands chan struct{}                        // one for each probe under way

	mu     sync.Mutex
	stages map[string][]*pulse
}

// target is an instance that requests go to, and how it is probed.
type target struct {
	Endpoint
	stageID    string
	deployment string
	spec       StageSpec // only what a probe looks at
}

// pulse is what is known of a target since requests go to it.
type pulse struct {
	target
	missed int
	busy   bool
}

// afterBeat decides what a beat means: how many were missed in a row, and
// whether that makes the instance lost.
func afterBeat(missed int, err error) (now int, lost bool) {
	if err == nil {
		return 0, false
	}
	return missed + 1, missed+1 >= beatsMissed
}

// gapOf gives the wait between two of so many turns: a round takes the time
// of one beat, or longer where the turns would come too fast.
func gapOf(every time.Duration, turns int) time.Duration {
	return max(every/time.Duration(max(turns, 1)), min(beatGap, every))
}

// follow probes what a route points to from now on, and no more what it
// pointed to before.
func (b *beats) follow(r Route, spec StageSpec) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.stages[r.StageID]
	delete(b.stages, r.StageID)
	if spec.Probe.Kind == ProbeNone || len(r.Instances) == 0 {
		return
	}
	now := make([]*pulse, len(r.Instances))
	for n, e := range r.Instances {
		same := slices.IndexFunc(before, func(p *pulse) bool { return p.Endpoint == e && p.deployment == r.Deployment })
		if same >= 0 {
			now[n] = before[same]
			continue
		}
		now[n] = &pulse{target: target{
			Endpoint: e, stageID: r.StageID, deployment: r.Deployment,
			spec: StageSpec{Hostname: spec.Hostname, Protocol: spec.Protocol, Probe: spec.Probe},
		}}
	}
	if b.stages == nil {
		b.stages = map[string][]*pulse{}
	}
	b.stages[r.StageID] = now
}

// forget probes a stage's instances no more.
func (b *beats) forget(stageID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.stages, stageID)
}

// run gives everyone their turns until ctx ends.
func (b *beats) run(ctx context.Context) {
	var turns sync.WaitGroup
	defer turns.Wait()
	b.hands = make(chan struct{}, beatsAtOnce)
	for {
		round := b.round()
		gap := gapOf(b.every, len(round))
		if len(round) == 0 && !pause(ctx, gap, nil) {
			return
		}
		for _, p := range round {
			if !pause(ctx, gap, nil) {
				return
			}
			if b.begin(p) {
				turns.Go(func() { b.turn(ctx, p) })
			}
		}
	}
}

// round gives everyone in an order that stays the same, so that nobody's next
// turn comes sooner than a beat.
func (b *beats) round() []*pulse {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*pulse
	for _, of := range b.stages {
		all = append(all, of...)
	}
	slices.SortFunc(all, func(p, q *pulse) int { return cmp.Compare(p.Instance, q.Instance) })
	return all
}

// begin takes the turn of one that requests still go to and whose turn before
// is over.
func (b *beats) begin(p *pulse) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.busy || !slices.Contains(b.stages[p.stageID], p) {
		return false
	}
	p.busy = true
	return true
}

// turn asks one, and one that does not answer again after the time of a beat,
// however long the round is.
func (b *beats) turn(ctx context.Context, p *pulse) {
	for {
		select {
		case b.hands <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := b.ask(ctx, p.target)
		<-b.hands
		if ctx.Err() != nil {
			return
		}
		more, lost := b.heard(p, err)
		if lost {
			b.lost(ctx, p.target, err)
		}
		if !more || !pause(ctx, b.every, nil) {
			return
		}
	}
}

// heard takes down what came of asking p, and says whether that makes it lost
// or, before that, has it asked again.
func (b *beats) heard(p *pulse, err error) (more, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.missed, lost = afterBeat(p.missed, err)
	if !slices.Contains(b.stages[p.stageID], p) {
		return false, false
	}
	p.busy = err != nil && !lost
	return p.busy, lost
}
