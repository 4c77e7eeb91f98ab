package deploy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// keeper looks after what one stage serves until every instance is ready. It
// belongs to its job's goroutine.
type keeper struct {
	s       *Service
	stageID string
	wake    <-chan struct{}
	retry   time.Duration // the wait after the next look that comes to nothing
	trials  map[tried]*trial
	ended   chan *trial
	group   sync.WaitGroup
}

// trial is the probing of an instance until it is ready or its time is over.
// It goes on while the keeper looks at others.
type trial struct {
	of     tried
	cancel context.CancelFunc
	err    error // why it is not ready, once the trial has ended
}

type tried struct{ instance, container, address string }

// keepLater has a stage's live release looked after.
func (s *Service) keepLater(stageID string) {
	s.jobs.start(jobKey{jobKeep, stageID})
}

func (s *Service) keep(ctx context.Context, stageID string, wake <-chan struct{}) {
	k := &keeper{s: s, stageID: stageID, wake: wake, retry: firstRetry, trials: map[tried]*trial{}, ended: make(chan *trial)}
	defer k.stop()
	for {
		again, err := k.attend(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "live release not looked after as it should be; trying again", "stage_id", stageID, "error", err)
			again = sooner(again, k.backOff())
		}
		if !k.wait(ctx, again) {
			return
		}
	}
}

// attend does once what the instances need, and has those that run probed. It
// says when to look again; 0 when that is for the trials to tell.
func (k *keeper) attend(ctx context.Context) (again time.Duration, err error) {
	defer k.s.locks.hold(k.stageID)()
	found, err := k.s.lookAfter(ctx, k.stageID, true)
	if err != nil {
		return 0, err
	}
	if found.doubt == nil {
		k.retry = firstRetry
	}
	k.try(ctx, found)
	return found.again, found.doubt
}

// backOff gives the wait before the next look, longer each time.
func (k *keeper) backOff() time.Duration {
	wait := k.retry
	k.retry = min(2*wait, longestRetry)
	return wait
}

// try has a trial for each instance that wants one, and for no other.
func (k *keeper) try(ctx context.Context, found look) {
	wanted := make(map[tried]*trial, len(found.probe))
	for _, i := range found.probe {
		of := tried{i.ID, i.Container, i.Address}
		t := k.trials[of]
		if t == nil {
			t = k.begin(ctx, found.served, i)
		}
		wanted[of] = t
		delete(k.trials, of)
	}
	for _, t := range k.trials {
		t.cancel()
	}
	k.trials = wanted
}

func (k *keeper) begin(ctx context.Context, v *served, i Instance) *trial {
	ctx, cancel := context.WithCancel(ctx)
	t := &trial{of: tried{i.ID, i.Container, i.Address}, cancel: cancel}
	k.group.Go(func() {
		t.err = k.s.probeLive(ctx, v, i)
		select {
		case k.ended <- t:
		case <-ctx.Done():
		}
	})
	return t
}

// wait waits until there is something to look at, and says false when there
// is nothing left to wait for.
func (k *keeper) wait(ctx context.Context, again time.Duration) bool {
	due := after(again)
	for again > 0 || len(k.trials) > 0 {
		select {
		case <-due:
			return true
		case <-k.wake:
			return true
		case t := <-k.ended:
			t.cancel()
			if k.trials[t.of] == t {
				delete(k.trials, t.of)
			}
			if t.err != nil {
				// Its container was stopped, which mostly wakes this before.
				again = sooner(again, lookAgain)
				due = after(again)
			}
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// after gives what tells that d is over; never when it is 0.
func after(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d)
}

// sooner gives the shorter of two waits, of which 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func (k *keeper) stop() {
	for _, t := range k.trials {
		t.cancel()
	}
	k.group.Wait()
}

// probeLive probes an instance of a live release, and stores and routes what
// comes of it. Its error says that it is not ready.
func (s *Service) probeLive(ctx context.Context, v *served, i Instance) error {
	err := s.awaitReady(ctx, v.release.Spec, i)
	if ctx.Err() != nil {
		return err
	}
	defer s.locks.hold(v.stage.ID)()
	now, readErr := s.readServed(ctx, v.stage.ID)
	if readErr != nil {
		return readErr
	}
	if now == nil || now.deployment.ID != v.deployment.ID {
		return nil
	}
	for n := range now.instances {
		was := &now.instances[n]
		if was.ID != i.ID || was.Container != i.Container || was.Address != i.Address {
			continue
		}
		next := *was
		if err == nil {
			next.State, next.Detail = InstanceReady, ""
		} else {
			next.State, next.Detail = InstanceDown, faultText(err)
			// What does not answer in all its time is started anew.
			if stopErr := s.runtime.Stop(ctx, i.Container, stuckGrace); stopErr != nil {
				s.logOf(now).WarnContext(ctx, "instance that does not answer not stopped", "instance", i.ID, "error", stopErr)
			}
		}
		before := slices.Clone(now.instances)
		*was = next
		if tellErr := s.tell(ctx, now, before); tellErr != nil {
			return tellErr
		}
	}
	return err
}
