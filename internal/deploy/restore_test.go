package deploy_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/container"
	"berth/internal/container/docker"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// quay is a Berth on a real engine with a stage that has one volume.
type quay struct {
	*harbour
	t               *testing.T
	db              *sqlite.DB
	engine          container.Runtime
	project, volume string
	server          string
}

func openQuay(t *testing.T, engine container.Runtime, images loaded, edit func(*deploy.StageSpec)) *quay {
	t.Helper()
	q := &quay{t: t, db: newWorld(t).db, engine: engine, project: "t" + sqlite.NewID(time.Now())[:18]}
	q.volume = "berth_" + q.project + "_prod_data"
	q.harbour = openHarbour(t, q.db, engine, images)
	<-q.Ready()
	_, err := q.CreateProject(t.Context(), "ana", deploy.Project{Name: q.project, Image: q.project})
	require.NoError(t, err)
	spec := deploy.StageSpec{
		Hostname: q.project + ".test", StopTimeout: deploy.Duration(time.Second), Probe: deploy.Probe{Kind: deploy.ProbeTCP},
		Volumes: []deploy.Volume{{Name: "data", Path: "/data"}},
	}
	if edit != nil {
		edit(&spec)
	}
	_, err = q.CreateStage(t.Context(), "ana", q.project, "prod", spec)
	require.NoError(t, err)
	require.NoError(t, q.db.Read(t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT value FROM deploy_marks WHERE name = 'server'").Scan(&q.server)
	}))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, _ = q.RemoveProject(ctx, "ana", q.project)
		for _, name := range q.inEngine() {
			_ = engine.RemoveVolume(ctx, name)
		}
	})
	return q
}

// inEngine names the engine's volumes whose names begin as the stage's does.
func (q *quay) inEngine() (names []string) {
	found, err := q.engine.Volumes(context.WithoutCancel(q.t.Context()), nil)
	require.NoError(q.t, err)
	for _, v := range found {
		if strings.HasPrefix(v.Name, q.volume) {
			names = append(names, v.Name)
		}
	}
	return names
}

func (q *quay) restore(content string) error {
	_, err := q.RestoreVolume(q.t.Context(), "ana", q.volume, strings.NewReader(content), deploy.Restore{Confirm: q.volume, Force: true})
	return err
}

func (q *quay) backup(name string) string {
	q.t.Helper()
	var out bytes.Buffer
	require.NoError(q.t, q.BackUpVolume(q.t.Context(), "ana", name, &out))
	return out.String()
}

// told gives the kinds of the restore's events and the reason of the last.
func (q *quay) told() (kinds []string, reason string) {
	q.t.Helper()
	list, err := event.New(event.Config{DB: q.db}).Since(q.t.Context(), 0, event.Filter{Kinds: []event.Kind{
		"volume.restore_begun", "volume.restored", "volume.restore_failed",
	}}, 100)
	require.NoError(q.t, err)
	for _, e := range list {
		kinds = append(kinds, strings.TrimPrefix(string(e.Kind), "volume."))
		var data struct{ Name, Reason string }
		require.NoError(q.t, json.Unmarshal(e.Data, &data))
		require.Equal(q.t, q.volume, data.Name)
		reason = data.Reason
	}
	return kinds, reason
}

func (q *quay) status(name string) deploy.VolumeStatus {
	q.t.Helper()
	v, err := q.Volume(q.t.Context(), name)
	require.NoError(q.t, err)
	return v
}

// fullDisk takes some of what it is to write, and then has no room.
type fullDisk struct {
	container.Runtime
	full bool
}

func (f *fullDisk) ImportVolume(ctx context.Context, name string, labels map[string]string, from io.Reader) error {
	if !f.full {
		return f.Runtime.ImportVolume(ctx, name, labels, from)
	}
	_, _ = io.CopyN(io.Discard, from, 1000)
	return errors.New("write /volume/says: no space left on device")
}

func TestRestoreVolume_ChangesNothingWhenTheEngineFails(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		disk := &fullDisk{Runtime: engine}
		q := openQuay(t, disk, nil, nil)
		require.NoError(t, q.restore(tarOf(t, "says", "the first")))
		disk.full = true
		err := q.restore(tarOf(t, "says", "the second"))
		require.Equal(t, fault.NotNow, fault.KindOf(err))
		require.Contains(t, fault.Message(err), "no space left")
		require.Equal(t, []string{q.volume + ".1"}, q.inEngine())
		require.Contains(t, q.backup(q.volume), "the first")
		kinds, reason := q.told()
		require.Equal(t, []string{"restore_begun", "restored", "restore_begun", "restore_failed"}, kinds)
		require.Contains(t, reason, "no space left")
		disk.full = false
		require.NoError(t, q.restore(tarOf(t, "says", "the second")), "and it can be tried again")
		require.Contains(t, q.backup(q.volume), "the second")
		require.Equal(t, []string{q.volume + ".2"}, q.inEngine())
	})
}

func TestRestoreVolume_LeavesVolumesOfOthersAlone(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		q := openQuay(t, engine, nil, nil)
		for _, name := range []string{q.volume + "_restore", q.volume + ".1"} {
			require.NoError(t, engine.EnsureVolume(t.Context(), name, nil))
			require.NoError(t, engine.ImportVolume(t.Context(), name, nil, strings.NewReader(tarOf(t, "says", "somebody else's"))))
		}
		require.NoError(t, q.restore(tarOf(t, "says", "the first")))
		require.Equal(t, q.volume+".2", q.status(q.volume).EngineName)
		require.ElementsMatch(t, []string{q.volume + "_restore", q.volume + ".1", q.volume + ".2"}, q.inEngine())
		var out bytes.Buffer
		require.NoError(t, engine.ExportVolume(t.Context(), q.volume+".1", nil, &out))
		require.Contains(t, out.String(), "somebody else's")
		list, err := q.Volumes(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
	})
}

func TestRestoreVolume_IsSeenWhileTheBackupArrives(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		q := openQuay(t, engine, nil, nil)
		require.NoError(t, q.restore(tarOf(t, "says", "the first")))
		from, to := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, err := q.RestoreVolume(context.WithoutCancel(t.Context()), "bea", q.volume, from, deploy.Restore{Confirm: q.volume})
			_ = from.CloseWithError(io.ErrClosedPipe)
			ended <- err
		}()
		second := tarOf(t, "says", "the second")
		_, err := io.WriteString(to, second[:600])
		require.NoError(t, err)
		v := q.status(q.volume)
		require.NotNil(t, v.Restoring)
		require.Equal(t, "bea", v.Restoring.By)
		require.Equal(t, q.volume+".2", v.Restoring.EngineName)
		require.Equal(t, fault.Clash, fault.KindOf(q.restore(second)))
		require.Equal(t, fault.Clash, fault.KindOf(q.RemoveVolume(t.Context(), "ana", q.volume, q.volume)))
		for _, name := range []string{q.volume + ".1", q.volume + ".2"} {
			require.Equal(t, fault.Missing, fault.KindOf(q.RemoveVolume(t.Context(), "ana", name, name)), "it goes by its own name")
		}
		_, err = io.WriteString(to, second[600:])
		require.NoError(t, err)
		require.NoError(t, to.Close())
		require.NoError(t, <-ended)
		require.Contains(t, q.backup(q.volume), "the second")
		require.Nil(t, q.status(q.volume).Restoring)

		require.NoError(t, q.RemoveVolume(t.Context(), "ana", q.volume, q.volume))
		require.Empty(t, q.inEngine())
		require.NoError(t, q.restore(tarOf(t, "says", "the third")), "its settings name it")
		require.Contains(t, q.backup(q.volume), "the third")
	})
}

// TestRestoreVolume_IsNotLostOnAnOlderDatabase puts the database back to
// before a restore, and to while its backup arrived.
func TestRestoreVolume_IsNotLostOnAnOlderDatabase(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		q := openQuay(t, engine, loaded{}, nil)
		require.NoError(t, q.restore(tarOf(t, "says", "all there is")))
		for _, older := range []string{"UPDATE volume_copies SET state = 'arriving'", "DELETE FROM volume_copies"} {
			q.stop()
			require.NoError(t, q.db.Write(t.Context(), func(tx *sqlite.Tx) error {
				_, err := tx.ExecContext(t.Context(), older)
				return err
			}))
			q.harbour = openHarbour(t, q.db, engine, loaded{"1": loadImage(t, engine, "localhost/"+q.project+":1", "one")})
			<-q.Ready()
			d := q.deploys(t, q.project, "1")
			require.Equal(t, deploy.Failed, d.State)
			require.Equal(t, deploy.Preflight, d.FailedStep)
			require.Contains(t, d.Error, q.volume+".1")
			err := q.restore(tarOf(t, "says", "another"))
			require.Equal(t, fault.Clash, fault.KindOf(err))
			require.Equal(t, []string{q.volume + ".1"}, q.inEngine(), "nothing was made or removed")
			v := q.status(q.volume + ".1")
			require.Equal(t, deploy.OwnerRestore, v.Owner)
			require.Equal(t, []string{q.project, "prod", "data"}, []string{v.Project, v.Stage, v.Volume})
		}
		saved := q.backup(q.volume + ".1")
		require.NoError(t, q.RemoveVolume(t.Context(), "ana", q.volume+".1", q.volume+".1"))
		require.NoError(t, q.restore(saved))
		require.Contains(t, q.backup(q.volume), "all there is")
		require.Equal(t, deploy.Live, q.deploys(t, q.project, "1").State)
	})
}

func TestVolumes_ListWhatAnEarlierVersionsRestoreLeft(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		q := openQuay(t, engine, nil, nil)
		require.NoError(t, q.restore(tarOf(t, "says", "a half")))
		left := q.volume + "_restore"
		require.NoError(t, engine.EnsureVolume(t.Context(), left, map[string]string{"berth.server": q.server, "berth.restoring": q.volume}))
		require.NoError(t, engine.ImportVolume(t.Context(), left, nil, strings.NewReader(tarOf(t, "says", "the whole"))))
		q.stop()
		q.harbour = openHarbour(t, q.db, engine, nil)
		<-q.Ready()
		v := q.status(left)
		require.Equal(t, deploy.OwnerRestore, v.Owner)
		require.Equal(t, []string{q.project, "prod", "data"}, []string{v.Project, v.Stage, v.Volume})
		_, err := q.RestoreVolume(t.Context(), "ana", left, strings.NewReader(""), deploy.Restore{Confirm: left})
		require.Equal(t, fault.Clash, fault.KindOf(err))
		require.NoError(t, q.restore(q.backup(left)))
		require.Contains(t, q.backup(q.volume), "the whole")
		require.NoError(t, q.RemoveVolume(t.Context(), "ana", left, left))
		require.Equal(t, []string{q.volume + ".2"}, q.inEngine())
	})
}

// TestRestoreVolume_TakesItsOwnBackupOfHardLinksToLinks has an app make them.
func TestRestoreVolume_TakesItsOwnBackupOfHardLinksToLinks(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine *docker.Engine) {
		t.Helper()
		name := "t" + sqlite.NewID(time.Now())[:18]
		q := openQuay(t, engine, loaded{"1": loadImage(t, engine, "localhost/"+name+":1", "one")}, func(s *deploy.StageSpec) {
			s.Env = map[string]string{"LINKS": "yes"}
		})
		require.Equal(t, deploy.Live, q.deploys(t, q.project, "1").State)
		saved := q.backup(q.volume)
		kinds := map[byte]int{}
		for _, h := range linksIn(t, saved) {
			kinds[h.Typeflag]++
		}
		t.Logf("the engine saves a hard link to a symbolic one as %v", kinds)
		require.NoError(t, q.restore(saved))
		for _, link := range []string{"./a", "./b"} {
			require.Equal(t, "/nowhere", linksIn(t, q.backup(q.volume))[link].Linkname, link)
		}
	})
}

// linksIn gives a tar stream's links by their names.
func linksIn(t *testing.T, archive string) map[string]tar.Header {
	t.Helper()
	found := map[string]tar.Header{}
	for reader := tar.NewReader(strings.NewReader(archive)); ; {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		if h.Linkname != "" {
			found[h.Name] = *h
		}
	}
}
