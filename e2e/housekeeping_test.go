package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/sqlite"
)

// TestHousekeeping_RemovesOnlyWhatIsBerthsAndNotNeeded goes through four
// releases of which one is kept to roll back to. Beside them are an image that
// somebody else put there, and a container of somebody's on one of Berth's: both
// stay.
func TestHousekeeping_RemovesOnlyWhatIsBerthsAndNotNeeded(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e, "BERTH_KEEP_RELEASES=1", "BERTH_KEEP_FOR=0s")
		project := projectPrefix(t)
		short := deploy.Duration(time.Second)
		b.stage(project, func(s *deploy.StageSpec) { s.DrainTimeout, s.StreamDrainTimeout, s.StopTimeout = short, short, short })
		ctx := t.Context()
		runtime, err := docker.Open(ctx, docker.Config{Socket: e.socket})
		require.NoError(t, err)
		t.Cleanup(func() { _ = runtime.Close() })
		ids, releases := map[string]string{}, map[string]string{}
		held := func(version string) bool {
			_, err := runtime.Image(ctx, ids[version])
			if !errors.Is(err, container.ErrNotFound) {
				require.NoError(t, err)
			}
			return err == nil
		}
		for _, version := range []string{"gone", "used", "kept", "now"} {
			b.push(project, version, image(t, version))
			d := b.live(project, version)
			releases[version] = d.Release
			for _, c := range b.containers(project) {
				if c.Labels["berth.deployment"] == d.ID {
					ids[version] = c.Image
				}
			}
		}
		require.True(t, held("gone"))
		foreign := loadForeign(t, runtime)

		// Somebody else's container on the second image: it stays with it.
		stranger, err := runtime.Create(ctx, container.Spec{Name: "stranger-" + sqlite.NewID(time.Now()), Image: ids["used"], Labels: map[string]string{"stranger": thisRun}})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, runtime.Remove(context.WithoutCancel(ctx), stranger)) })
		require.NoError(t, runtime.Start(ctx, stranger))

		var neighbours struct{ Items []deploy.Neighbour }
		b.call("GET", "/api/system/containers", nil, &neighbours)
		seen := map[string]container.State{}
		for _, n := range neighbours.Items {
			seen[n.Container] = n.State
		}
		require.Equal(t, container.StateRunning, seen[stranger])
		for _, c := range b.containers(project) {
			require.NotContains(t, seen, c.ID, "Berth's own are not shown as somebody's")
		}

		b.eventually("the old ones are stopped", func() error {
			for _, c := range b.containers(project) {
				if c.Image != ids["now"] {
					return fmt.Errorf("container %s is there", c.Name)
				}
			}
			return nil
		})
		verdicts := func(l deploy.Leftovers) map[string]string {
			found := map[string]string{}
			for _, i := range l.Items {
				found[i.Image] = i.Stays
			}
			return found
		}
		var dry deploy.Leftovers
		b.call("GET", "/api/system/leftovers", nil, &dry)
		require.Len(t, dry.Items, 2, "%+v", dry)
		require.Empty(t, verdicts(dry)[ids["gone"]])
		require.Contains(t, verdicts(dry)[ids["used"]], "uses it")
		require.Equal(t, 2, dry.Kept)
		require.True(t, held("gone"), "a look removes nothing")

		var done deploy.Leftovers
		b.call("POST", "/api/system/leftovers/remove", nil, &done)
		require.Equal(t, verdicts(dry), verdicts(done))
		require.False(t, held("gone"))
		for _, version := range []string{"used", "kept", "now"} {
			require.True(t, held(version), version)
		}
		_, err = runtime.Image(ctx, foreign)
		require.NoError(t, err, "somebody else's image stays")
		c, err := runtime.Inspect(ctx, stranger)
		require.NoError(t, err)
		require.Equal(t, container.StateRunning, c.State)
		var activity struct{ Items []event.Event }
		b.call("GET", "/api/activity?limit=20", nil, &activity)
		var removed int
		for _, e := range activity.Items {
			if e.Kind == "engine_image.removed" {
				removed++
				require.Contains(t, string(e.Data), ids["gone"])
			}
		}
		require.Equal(t, 1, removed)

		// What is kept does for a roll back; what went is refused in words.
		stage := "/api/projects/" + project + "/stages/prod"
		require.ErrorContains(t, b.try("POST", stage+"/rollback", map[string]any{"release": releases["gone"]}, nil), "no longer in the container engine")
		var back deploy.Deployment
		b.call("POST", stage+"/rollback", map[string]any{"release": releases["kept"]}, &back)
		require.Equal(t, deploy.Live, b.wait(back.ID).State)
		require.NoError(t, b.answers(project, "kept"))
	})
}

// loadForeign puts an image into the engine that Berth knows nothing of.
func loadForeign(t *testing.T, runtime container.Runtime) (id string) {
	t.Helper()
	tag, err := name.NewTag("localhost/foreign-" + strings.ToLower(thisRun) + ":1")
	require.NoError(t, err)
	var archive bytes.Buffer
	require.NoError(t, tarball.Write(tag, image(t, "foreign"), &archive))
	ids, err := runtime.Load(t.Context(), &archive)
	require.NoError(t, err)
	return ids[0]
}
