package docker

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"berth/internal/container"
)

// Events gives what happens to containers.
func (e *Engine) Events(ctx context.Context, labels map[string]string) iter.Seq2[container.Event, error] {
	since := time.Now()
	return func(yield func(container.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		filters := labelFilters(labels).Add("type", string(events.ContainerEventType))
		stream := e.api.Events(ctx, client.EventsListOptions{
			// Podman reads a fraction of a second imprecisely: the exact cut
			// is made below.
			Since: strconv.FormatInt(since.Unix(), 10), Filters: filters,
		})
		defer func() {
			cancel()
			for range stream.Err { // until the reader has ended
			}
		}()
		for {
			select {
			case said := <-stream.Messages:
				event, ours := translate(said)
				if !ours || event.At.Before(since) || !carries(event.Labels, labels) {
					continue
				}
				if !yield(event, nil) {
					return
				}
			case err := <-stream.Err:
				if ctx.Err() == nil {
					yield(container.Event{}, fmt.Errorf("follow the engine's events: %w: %w", container.ErrUnavailable, err))
				}
				return
			}
		}
	}
}

// translate gives an engine's event our spelling; false for one that Berth
// does not act on.
func translate(said events.Message) (container.Event, bool) {
	event := container.Event{
		At:        time.Unix(0, said.TimeNano).UTC(),
		Container: said.Actor.ID,
		Labels:    maps.Clone(said.Actor.Attributes),
	}
	switch string(said.Action) {
	case "start":
		event.Action = container.EventStarted
	case "die", "died": // Docker, Podman
		event.Action = container.EventDied
	case "oom":
		event.Action = container.EventOOM
	case "destroy", "remove": // Docker, Podman
		event.Action = container.EventRemoved
	case "pause":
		event.Action = container.EventPaused
	case "unpause":
		event.Action = container.EventResumed
	default:
		return container.Event{}, false
	}
	for _, name := range []string{"exitCode", "containerExitCode"} {
		if code, err := strconv.Atoi(said.Actor.Attributes[name]); err == nil {
			event.ExitCode = code
		}
	}
	// The engines put these among the labels.
	for _, name := range []string{"exitCode", "containerExitCode", "image", "name", "execDuration"} {
		delete(event.Labels, name)
	}
	return event, true
}
