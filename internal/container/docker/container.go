package docker

import (
	"context"
	"errors"
	"net/url"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// Start starts a container; one that runs is left alone.
func (e *Engine) Start(ctx context.Context, id string) error {
	_, err := e.api.ContainerStart(ctx, id, client.ContainerStartOptions{})
	return wrap(err, "start container %s", id)
}

// Stop stops a container within the deadline.
func (e *Engine) Stop(ctx context.Context, id string, deadline time.Duration) error {
	_, err := e.api.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: new(wholeSeconds(deadline))})
	return wrap(err, "stop container %s", id)
}

// Wait waits for a container to exit.
func (e *Engine) Wait(ctx context.Context, id string) (int, error) {
	waiting := e.api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: api.WaitConditionNotRunning})
	// One of them always comes: the end of ctx breaks the connection.
	select {
	case ended := <-waiting.Result:
		if ended.Error != nil {
			return 0, wrap(errors.New(ended.Error.Message), "wait for container %s", id)
		}
		return int(ended.StatusCode), nil
	case err := <-waiting.Error:
		return 0, wrap(err, "wait for container %s", id)
	}
}

// Remove removes a container.
func (e *Engine) Remove(ctx context.Context, id string) error {
	e.usage.forget(id)
	var err error
	if e.facts.podman {
		// Over Docker's API it would wait ten seconds for a container that
		// ignores its stop signal.
		err = e.libpodRemove(ctx, "/containers/"+url.PathEscape(id),
			url.Values{"force": {"true"}, "v": {"true"}, "timeout": {"0"}})
	} else {
		_, err = e.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
	kind := meaning(err)
	if errors.Is(kind, container.ErrNotFound) {
		return nil
	}
	if errors.Is(kind, container.ErrConflict) { // somebody else is removing it
		err = e.awaitRemoval(ctx, id, err)
	}
	return wrap(err, "remove container %s", id)
}

// awaitRemoval waits for a removal under way to end; the engine has no call
// that waits for it and works for every state.
func (e *Engine) awaitRemoval(ctx context.Context, id string, conflict error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if _, err := e.Inspect(ctx, id); errors.Is(err, container.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return conflict
}
