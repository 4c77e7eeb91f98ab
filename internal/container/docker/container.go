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

// Remove removes a container. It asks again while somebody else is removing
// it, or while Podman is between two of its states.
func (e *Engine) Remove(ctx context.Context, id string) error {
	e.usage.forget(id)
	err := e.remove(ctx, id)
	for range removals {
		if kind := meaning(err); !errors.Is(kind, container.ErrConflict) {
			break
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(50 * time.Millisecond):
			err = e.remove(ctx, id)
		}
	}
	if errors.Is(meaning(err), container.ErrNotFound) {
		return nil
	}
	return wrap(err, "remove container %s", id)
}

// removals is how often a removal that an engine refuses is tried again; ten
// seconds' worth.
const removals = 200

func (e *Engine) remove(ctx context.Context, id string) error {
	if e.facts.Load().podman {
		// Over Docker's API it would wait ten seconds for a container that
		// ignores its stop signal.
		return e.libpodRemove(ctx, "/containers/"+url.PathEscape(id),
			url.Values{"force": {"true"}, "v": {"true"}, "timeout": {"0"}})
	}
	_, err := e.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	return err
}
