package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/identity"
)

// TestPromote_MovedTagDoesNotReachTheNextStage moves a tag between staging and
// prod. Prod gets what ran in staging: out of the engine, and when the engine
// has lost it, out of the registry by its digest.
func TestPromote_MovedTagDoesNotReachTheNextStage(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, nil)
		stages := "/api/projects/" + project + "/stages"
		short := deploy.Duration(2 * time.Second)
		spec := deploy.StageSpec{
			Hostname: project + "-staging.localhost", Tags: deploy.TagRule{Kind: deploy.TagNone}, Port: 8080, Probe: deploy.Probe{Path: "/health"},
			Env: map[string]string{"LEVEL": "debug"}, DrainTimeout: short, StreamDrainTimeout: short, StopTimeout: short,
			Access: new(identity.Public()),
		}
		b.call("POST", stages, map[string]any{"name": "staging", "spec": spec}, nil)
		b.edit(project, func(prod *deploy.StageSpec) {
			prod.PromoteFrom, prod.Env = "staging", map[string]string{"LEVEL": "warn"}
		})
		toStaging := func() deploy.Deployment {
			var d deploy.Deployment
			b.call("POST", stages+"/staging/deployments", map[string]any{"reference": "moving"}, &d)
			d = b.wait(d.ID)
			require.Equal(t, deploy.Live, d.State, d.Error)
			b.eventually("what was before is gone", func() error {
				var now deploy.Deployment
				if err := b.try("GET", "/api/deployments/"+d.ID, nil, &now); err != nil || now.FinishedAt.IsZero() {
					return errors.Join(err, errors.New("it drains"))
				}
				return nil
			})
			return d
		}
		promote := func(release, seen string) deploy.Deployment {
			var d deploy.Deployment
			b.call("POST", stages+"/prod/promote", map[string]any{"release": release, "seen": seen}, &d)
			d = b.wait(d.ID)
			require.Equal(t, deploy.Live, d.State, d.Error)
			return d
		}
		b.push(project, "moving", image(t, "proven"))
		proven := toStaging()
		b.push(project, "moving", image(t, "moved"))
		d := promote(proven.Release, "")
		require.NoError(t, b.answers(project, "proven"))
		require.Equal(t, proven.Digest, d.Digest)
		require.ErrorContains(t, b.try("POST", stages+"/prod/deployments", map[string]any{"reference": "moving"}, nil), "takes only what is promoted from staging")

		// Staging goes on to what the tag is now, and prod after it; then
		// nothing runs the first image any more, and the engine loses it.
		moved := toStaging()
		require.ErrorContains(t, b.try("POST", stages+"/prod/promote", map[string]any{"release": proven.Release}, nil), "staging has moved on")
		promote(moved.Release, "")
		require.NoError(t, b.answers(project, "moved"))
		b.edit(project, func(prod *deploy.StageSpec) { prod.PromoteAfter = deploy.Duration(100 * time.Millisecond) })
		b.forget(project, "proven")
		d = promote(proven.Release, moved.Release)
		require.NoError(t, b.answers(project, "proven"))
		require.Equal(t, proven.Digest, d.Digest)
		var now deploy.StageStatus
		b.call("GET", stages+"/prod", nil, &now)
		require.Equal(t, map[string]string{"LEVEL": "warn"}, now.Release.Spec.Env)
	})
}

// edit saves a change of a project's stage prod.
func (b *berth) edit(project string, change func(*deploy.StageSpec)) {
	b.t.Helper()
	path := "/api/projects/" + project + "/stages/prod"
	var st deploy.Stage
	b.call("GET", path, nil, &st)
	change(&st.Spec)
	b.call("PUT", path, map[string]any{"version": st.Version, "spec": st.Spec}, nil)
}

// forget removes the image of a version from the engine, once no container
// uses it.
func (b *berth) forget(project, version string) {
	b.t.Helper()
	runtime := b.runtime()
	defer runtime.Close()
	var found string
	b.eventually("no container of "+version+" is left", func() error {
		images, err := runtime.Images(b.t.Context())
		if err != nil {
			return err
		}
		for _, i := range images {
			whole, err := runtime.Image(b.t.Context(), i.ID)
			if err != nil || whole.Labels[runLabel] != thisRun || whole.Labels[versionLabel] != version {
				continue
			}
			found = i.ID
			if err := runtime.RemoveImage(b.t.Context(), i.ID); !errors.Is(err, container.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	require.NotEmpty(b.t, found, "the engine had the image of %s of %s", version, project)
}
