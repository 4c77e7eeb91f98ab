package deploy_test

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

func TestService_BacksUpRestoresAndRemovesVolumes(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		ctx := t.Context()
		project := "t" + sqlite.NewID(time.Now())[:18]
		h := openHarbour(t, newWorld(t).db, engine, loaded{"1": loadImage(t, engine, "localhost/"+project+":1", "one")})
		<-h.Ready()
		_, err := h.CreateProject(ctx, "ana", deploy.Project{Name: project, Image: project})
		require.NoError(t, err)
		host, volume := project+".test", "berth_"+project+"_prod_data"
		_, err = h.CreateStage(ctx, "ana", project, "prod", deploy.StageSpec{
			Hostname: host, Env: map[string]string{"READ": "/data/says"}, StopTimeout: deploy.Duration(time.Second),
			Probe: deploy.Probe{Kind: deploy.ProbeTCP}, Volumes: []deploy.Volume{{Name: "data", Path: "/data"}},
		})
		require.NoError(t, err)
		t.Cleanup(func() {
			_, _ = h.RemoveProject(context.WithoutCancel(ctx), "ana", project)
			_ = engine.RemoveVolume(context.WithoutCancel(ctx), volume)
		})
		says := func(want string) {
			t.Helper()
			require.Eventually(t, func() bool {
				a := h.says(host)
				return len(a) == 1 && strings.Contains(a[0], want)
			}, time.Minute, 20*time.Millisecond, "it says %q: %v", want, h.says(host))
		}
		restore := func(content string, r deploy.Restore) (deploy.VolumeStatus, error) {
			return h.RestoreVolume(ctx, "ana", volume, strings.NewReader(content), r)
		}
		first, second := tarOf(t, "says", "the first", "gone", "later"), tarOf(t, "says", "the second")

		// Before anything was deployed: settings name it, and so it is made.
		_, err = h.RestoreVolume(ctx, "ana", volume+"x", strings.NewReader(first), deploy.Restore{})
		require.Equal(t, fault.Missing, fault.KindOf(err))
		v, err := restore(first, deploy.Restore{})
		require.NoError(t, err)
		require.Equal(t, deploy.OwnerStage, v.Owner)
		require.Equal(t, "data", v.Volume)
		require.Equal(t, deploy.Live, h.deploys(t, project, "1").State)
		says("the first")

		var backup bytes.Buffer
		require.NoError(t, h.BackUpVolume(ctx, "ana", volume, &backup))
		v, err = h.Volume(ctx, volume)
		require.NoError(t, err)
		require.Len(t, v.UsedBy, 1)
		require.NotNil(t, v.Size)
		require.Positive(t, *v.Size)

		// In use, not confirmed, broken: nothing changes.
		for _, r := range []deploy.Restore{{Confirm: volume}, {Force: true}, {Force: true, Confirm: "another"}} {
			_, err = restore(second, r)
			require.Error(t, err)
		}
		_, err = restore(second[:700], deploy.Restore{Force: true, Confirm: volume})
		require.Equal(t, fault.BadInput, fault.KindOf(err), "%v", err)
		require.Equal(t, fault.Clash, fault.KindOf(h.RemoveVolume(ctx, "ana", volume, volume)))
		says("the first")

		// Forced, it holds what the stream has, and nothing else.
		_, err = restore(second, deploy.Restore{Force: true, Confirm: volume})
		require.NoError(t, err)
		says("the second")
		var now bytes.Buffer
		require.NoError(t, h.BackUpVolume(ctx, "ana", volume, &now))
		require.NotContains(t, now.String(), "gone")
		_, err = restore(backup.String(), deploy.Restore{Force: true, Confirm: volume})
		require.NoError(t, err)
		says("the first")

		_, err = h.RemoveProject(ctx, "ana", project)
		require.NoError(t, err)
		v, err = h.Volume(ctx, volume)
		require.NoError(t, err)
		require.Equal(t, deploy.OwnerGone, v.Owner)
		require.Equal(t, fault.BadInput, fault.KindOf(h.RemoveVolume(ctx, "ana", volume, "")))
		require.NoError(t, h.RemoveVolume(ctx, "ana", volume, volume))
		list, err := h.Volumes(ctx)
		require.NoError(t, err)
		require.Empty(t, list, "also the one that held the backup is gone")

		// What is not this Berth's is not there for it.
		require.NoError(t, engine.EnsureVolume(ctx, volume, map[string]string{"berth.server": "another"}))
		require.Equal(t, fault.Missing, fault.KindOf(h.RemoveVolume(ctx, "ana", volume, volume)))
		require.Equal(t, fault.Missing, fault.KindOf(h.BackUpVolume(ctx, "ana", volume, &now)))
	})
}

// tarOf gives a tar stream of files: names and what is in them.
func tarOf(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}))
		_, err := w.Write([]byte(files[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.String()
}
