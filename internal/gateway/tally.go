package gateway

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"berth/internal/deploy"
)

// tally counts how one deployment answers, so that it can be compared with
// the one before it. Like a meter it is kept in padded shards, but in fewer:
// there are as many tallies as deployments.
type tally struct {
	shards []tallyShard
	// past has what was counted at the end of each of the last minutes, the
	// oldest first. Table.mu guards it.
	past []*tallied
}

type tallyShard struct {
	errors atomic.Int64
	took   [buckets]atomic.Int64
	_      [64]byte
}

// tallied is what a tally has counted at one moment.
type tallied struct {
	errors int64
	took   histogram
}

// pastMost is how many minutes [Table.Lately] looks back.
const pastMost = 5

func newTally() *tally { return &tally{shards: make([]tallyShard, min(shardCount, 4))} }

// add counts one answer. A tally that is not there counts nothing.
func (t *tally) add(failed bool, took time.Duration) {
	if t == nil {
		return
	}
	s := &t.shards[int(rand.Uint32())&(len(t.shards)-1)] //nolint:gosec // spreads load
	if failed {
		s.errors.Add(1)
	}
	s.took[bucket(took)].Add(1)
}

func (t *tally) read() (c tallied) {
	for i := range t.shards {
		s := &t.shards[i]
		c.errors += s.errors.Load() // before took, so that there are never more errors than answers
		for b := range c.took {
			c.took[b] += s.took[b].Load()
		}
	}
	return c
}

// remember keeps what is counted as the end of a minute. While nothing is
// asked of a deployment, its minutes share one count.
func (t *tally) remember() {
	now := t.read()
	if n := len(t.past); n > 0 && *t.past[n-1] == now {
		t.past = append(t.past, t.past[n-1])
	} else {
		t.past = append(t.past, &now)
	}
	if len(t.past) > pastMost {
		t.past = slices.Delete(t.past, 0, len(t.past)-pastMost)
	}
}

func (c tallied) answers() deploy.Answers {
	return deploy.Answers{Errors: c.errors, Took: slices.Clone(c.took[:]), Bounds: bounds[:]}
}

// Answers gives what a deployment answered, as [deploy.Meter] has it.
func (t *Table) Answers(deployment string) deploy.Answers {
	t.mu.Lock()
	counted := t.tallies[deployment]
	t.mu.Unlock()
	if counted == nil {
		return deploy.Answers{}
	}
	return counted.read().answers()
}

// Lately gives what a deployment answered in the last minutes.
func (t *Table) Lately(deployment string) deploy.Answers {
	t.mu.Lock()
	defer t.mu.Unlock()
	counted := t.tallies[deployment]
	if counted == nil {
		return deploy.Answers{}
	}
	now := counted.read().answers()
	if len(counted.past) < pastMost {
		return now // it is younger than that
	}
	return now.Since(counted.past[0].answers())
}

// tallyOf gives a deployment's tally; nil of none. t.mu is held.
func (t *Table) tallyOf(deployment string) *tally {
	if deployment == "" {
		return nil
	}
	counted := t.tallies[deployment]
	if counted == nil {
		counted = newTally()
		t.tallies[deployment] = counted
	}
	return counted
}

// remember ends a minute of every tally, and drops what belongs to
// deployments that are neither routed to nor serve anything any more.
func (t *Table) remember() {
	t.mu.Lock()
	defer t.mu.Unlock()
	routed := make(map[string]bool, len(t.stages))
	for _, r := range t.stages {
		routed[r.Deployment] = true
		if r.canary != nil {
			routed[r.canary.Deployment] = true
		}
	}
	for deployment := range t.instances {
		t.forget(deployment, (*instance).idle)
	}
	for deployment, counted := range t.tallies {
		if !routed[deployment] && len(t.instances[deployment]) == 0 {
			delete(t.tallies, deployment)
			continue
		}
		counted.remember()
	}
}
