package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/event"
)

// TestCrash_NeverLeavesHalfAVolume kills the server with SIGKILL at each moment
// of a restore, also while the backup arrives, and starts it again: the app has
// all of what was there, or all of the backup; nothing else is left in the
// engine, and an event says what came of the restore.
func TestCrash_NeverLeavesHalfAVolume(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		r := restores{berth: b, project: projectPrefix(t)}
		r.volume = "berth_" + r.project + "_prod_data"
		b.stage(r.project, func(s *deploy.StageSpec) {
			s.StopTimeout = deploy.Duration(time.Second)
			s.Volumes = []deploy.Volume{{Name: "data", Path: "/data"}}
		})
		b.push(r.project, "1", image(t, "1"))
		b.live(r.project, "1")
		t.Cleanup(func() { b.removeVolume(r.project, r.volume) })
		_, errs, code := b.restoreFile(r.volume, r.backup(0))
		require.Zero(t, code, errs)
		r.holds(0)

		for n, moment := range []string{"begun", "made", "arrived", "ended", "replaced"} {
			t.Logf("killed when it is %s", moment)
			b.stop()
			b.launch("BERTH_TEST_CRASH_AT=restore:" + moment)
			r.holds(r.last)
			_, _, code := b.restoreFile(r.volume, r.backup(n+1))
			require.NotZero(t, code)
			<-b.ended
			b.launch()
			outcome := "volume.restore_failed"
			if moment == "replaced" {
				outcome, r.last = "volume.restored", n+1
			}
			r.holds(r.last)
			r.cameTo(outcome)
		}

		large := archive(t, "says", strings.Repeat("large", 4<<20))
		t.Log("cut off while it arrives, as who sends it may not go on")
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		browser := &http.Client{Jar: jar}
		answer, err := browser.Post(b.baseURL()+"/api/session", "application/json", strings.NewReader(`{"username":"admin","password":"`+adminPassword+`"}`))
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		w, went := r.sends(large[:16<<20], browser.Do, b.baseURL())
		request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, b.baseURL()+"/api/session", nil)
		require.NoError(t, err)
		answer, err = browser.Do(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusNoContent, answer.StatusCode)
		require.Error(t, <-went, "it is refused without waiting for the rest")
		_ = w.CloseWithError(errors.New("the server has ended it"))
		r.holds(r.last)
		r.cameTo("volume.restore_failed")

		t.Log("killed while it arrives")
		w, went = r.sends(large[:16<<20], b.local.Do, "http://berth")
		var status deploy.VolumeStatus
		b.call(http.MethodGet, "/api/volumes/"+r.volume, nil, &status)
		require.NotNil(t, status.Restoring, "whoever looks sees it")
		b.kill()
		_ = w.CloseWithError(errors.New("the server is gone"))
		require.Error(t, <-went)
		b.launch()
		r.holds(r.last)
		r.cameTo("volume.restore_failed")
	})
}

// restores are those of one volume.
type restores struct {
	*berth
	project, volume string
	last            int // the backup that is in it
}

// sends begins to restore from what the caller goes on to write to w; went has
// an error where it did not come to its end.
func (r *restores) sends(first []byte, do func(*http.Request) (*http.Response, error), base string) (w *io.PipeWriter, went <-chan error) {
	r.t.Helper()
	body, w := io.Pipe()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, base+"/api/volumes/"+r.volume+"/restore?force=true&confirm="+r.volume, body)
	require.NoError(r.t, err)
	request.Header.Set("Content-Type", "application/x-tar")
	ended := make(chan error, 1)
	go func() {
		answer, err := do(request)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode >= http.StatusBadRequest {
				err = errors.New(answer.Status)
			}
		}
		ended <- err
	}()
	_, err = w.Write(first)
	require.NoError(r.t, err)
	return w, ended
}

// backup makes a backup's file.
func (r *restores) backup(n int) string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "backup.tar")
	require.NoError(r.t, os.WriteFile(file, archive(r.t, "says", "backup "+strconv.Itoa(n)), 0o600))
	return file
}

func (b *berth) restoreFile(volume, file string) (stdout, stderr string, code int) {
	b.t.Helper()
	return b.command("", "volume", "restore", volume, file, "--confirm", volume, "--force")
}

// holds waits until the app has a backup, and nothing else is left.
func (r *restores) holds(n int) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("the app has backup %d", n), func() error {
		said, err := r.says("/file?name=says")
		if err == nil && !strings.Contains(said, "backup "+strconv.Itoa(n)) {
			err = fmt.Errorf("it says %q", said)
		}
		return err
	})
	r.eventually("one container is left", func() error { return r.onlyContainer(r.project) })
	r.eventually("nothing is left of the restore", func() error { return r.noArchives(r.project) })
	out := filepath.Join(r.t.TempDir(), "out.tar")
	_, errs, code := r.command("", "volume", "backup", r.volume, "-o", out)
	require.Zero(r.t, code, errs)
	require.Equal(r.t, map[string]string{"says": "backup " + strconv.Itoa(n)}, files(r.t, out))
}

// says asks the app for a path.
func (r *restores) says(path string) (string, error) {
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.address+path, nil)
	if err != nil {
		return "", err
	}
	request.Host = r.project + ".localhost"
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// cameTo says what the newest event of a restore must be.
func (r *restores) cameTo(kind string) {
	r.t.Helper()
	var page struct{ Items []event.Event }
	r.call(http.MethodGet, "/api/activity?project="+r.project+"&limit=100", nil, &page)
	var kinds []string
	for _, e := range page.Items {
		if strings.HasPrefix(string(e.Kind), "volume.restore") {
			kinds = append(kinds, string(e.Kind))
		}
	}
	require.NotEmpty(r.t, kinds)
	require.Equal(r.t, kind, kinds[0], "%v", kinds)
	require.Equal(r.t, "volume.restore_begun", kinds[1], "%v", kinds)
}
