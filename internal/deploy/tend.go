package deploy

import (
	"time"

	"berth/internal/container"
)

// Care is what an instance of a live release needs.
type Care string

// What there is to do for an instance.
const (
	CareNothing  Care = "nothing"  // it is ready, or nothing can be done
	CareProbe    Care = "probe"    // it runs: find out whether it answers
	CareStart    Care = "start"    // its container ended
	CareRecreate Care = "recreate" // its container is gone
	CareWait     Care = "wait"     // it ended, and too often to be started at once
)

// Tend decides what an instance of a live release needs, and how it is until
// that is done. c is its container, nil when there is none of its own; due is
// when it may be started next.
func Tend(i Instance, c *container.Container, spec StageSpec, now, due time.Time) (Instance, Care) {
	if c == nil {
		i.State, i.Address, i.Detail = InstanceDown, "", "its container was removed"
		return i, CareRecreate
	}
	switch c.State {
	case container.StateRunning:
		if c.Address == "" {
			i.State, i.Address, i.Detail = InstanceDown, "", "the container engine published no port"
			return i, CareWait
		}
		// The port may be another's since the engine started it anew.
		moved := i.Address != c.Address || c.Started.After(i.UpdatedAt)
		if i.State == InstanceReady && !moved {
			return i, CareNothing
		}
		if i.State != InstanceDown || i.Address != c.Address {
			i.State, i.Detail = InstanceStarting, ""
		}
		i.Address = c.Address
		return i, CareProbe
	case container.StatePaused:
		i.State, i.Detail = InstanceDown, "its container is paused"
		return i, CareNothing
	case container.StateRestarting:
		i.State, i.Address, i.Detail = InstanceDown, "", "the container engine restarts it"
		return i, CareWait
	case container.StateCreated:
		i.State, i.Address, i.Detail = InstanceDown, "", "its container was not started"
	case container.StateExited, container.StateDead:
		i.State, i.Address, i.Detail = InstanceDown, "", "its container "+ended(*c, spec)
	}
	if now.Before(due) {
		return i, CareWait
	}
	return i, CareStart
}

// The pace at which an instance that ends again and again is started.
const (
	steady      = 30 * time.Second // having run that long, it counts as well
	firstDelay  = time.Second
	longestWait = time.Minute
)

// restartDelay is the wait before the start after so many that came to
// nothing: none at first, then longer and longer.
func restartDelay(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return min(firstDelay<<min(failures-1, 10), longestWait)
}
