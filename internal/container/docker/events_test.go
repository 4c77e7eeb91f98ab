package docker

import (
	"testing"

	"github.com/moby/moby/api/types/events"
	"github.com/stretchr/testify/require"

	"berth/internal/container"
)

func TestTranslate_KnowsBothSpellings(t *testing.T) {
	for said, want := range map[events.Action]container.EventAction{
		"start": container.EventStarted, "die": container.EventDied, "died": container.EventDied,
		"oom": container.EventOOM, "destroy": container.EventRemoved, "remove": container.EventRemoved,
		"pause": container.EventPaused, "unpause": container.EventResumed,
	} {
		event, ours := translate(events.Message{Action: said, Actor: events.Actor{ID: "c", Attributes: map[string]string{
			"image": "i", "name": "n", "exitCode": "3", "project": "shop",
		}}})
		require.True(t, ours, said)
		require.Equal(t, want, event.Action)
		require.Equal(t, 3, event.ExitCode)
		require.Equal(t, map[string]string{"project": "shop"}, event.Labels)
	}
	for _, said := range []events.Action{"exec_create: sh", "kill", "init", "cleanup", "health_status: healthy", ""} {
		_, ours := translate(events.Message{Action: said})
		require.False(t, ours, said)
	}
}
