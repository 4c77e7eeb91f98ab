package deploy

import (
	"context"
	"errors"
	"sync"

	"berth/internal/container"
)

// engineState is what the service remembers of its engine.
type engineState struct {
	turns chan struct{} // one for each keeper that has the engine at work

	mu    sync.Mutex
	known *container.Info // what it said of itself, which takes some engines long
	away  bool
}

// info gives what the engine said of itself since it was last away.
func (e *engineState) info(ctx context.Context, runtime container.Runtime) (container.Info, error) {
	e.mu.Lock()
	known := e.known
	e.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	info, err := runtime.Info(ctx)
	if err != nil {
		return info, engineAway(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known = &info
	return info, nil
}

// gone gives why when the engine is not there at all, and nil when it is
// there and only refused.
func (e *engineState) gone(ctx context.Context, runtime container.Runtime, why error) error {
	if _, err := runtime.Info(ctx); err != nil {
		return errors.Join(why, err)
	}
	return nil
}

// set remembers whether the engine answers, and says whether that is new.
func (e *engineState) set(away bool) (news bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	news = e.away != away
	e.away = away
	if away {
		e.known = nil
	}
	return news
}

// turn waits until the engine has a hand free; done gives it back.
func (e *engineState) turn(ctx context.Context) error {
	select {
	case e.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *engineState) done() { <-e.turns }
