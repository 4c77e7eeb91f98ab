package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
	"berth/internal/fault"
)

// written reads an instance's log whole.
func (b *berth) written(id string, q deploy.LogQuery) (texts []string) {
	b.t.Helper()
	for line, err := range b.InstanceLogs(b.t.Context(), id, q) {
		require.NoError(b.t, err)
		require.Equal(b.t, id, line.Instance)
		texts = append(texts, line.Text)
	}
	return texts
}

func TestInstanceLogs_AreKeptOnceTheContainerIsGone(t *testing.T) {
	w := newWorld(t)
	w.logDir = filepath.Join(t.TempDir(), "logs")
	b := w.start(options{})
	w.images.push("shop", "1", appGood)
	b.shop(nil)
	b.goLive("1")
	list, err := b.StageInstances(t.Context(), "shop", "prod")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, deploy.LogLive, list[0].Log)
	first := list[0].ID
	said := b.written(first, deploy.LogQuery{})
	require.NotEmpty(t, said)

	b.goLive("1")
	require.Eventually(t, func() bool {
		list, err = b.StageInstances(t.Context(), "shop", "prod")
		return err == nil && len(list) == 2 && list[1].Log == deploy.LogKept
	}, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, first, list[1].ID, "the newest comes first")
	files, err := filepath.Glob(filepath.Join(w.logDir, "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	require.Equal(t, []string{fmt.Sprint("berth_kept_logs_bytes ", info.Size())}, b.counted("berth_kept_logs_"))
	require.Equal(t, said, b.written(first, deploy.LogQuery{}))
	require.Equal(t, said[len(said)-1:], b.written(first, deploy.LogQuery{Tail: 1}))
	require.Empty(t, b.written(first, deploy.LogQuery{Search: "no app says this"}))
	require.Empty(t, b.written(first, deploy.LogQuery{Until: time.Unix(1, 0)}))

	// A file that is damaged says so where the lines are missed.
	whole, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], whole[:len(whole)-4], 0o600))
	damaged := b.written(first, deploy.LogQuery{})
	require.Equal(t, append(slices.Clone(said), "What else was kept of this container's log can't be read."), damaged)

	// What is kept is not there for ever, and then the answer says so.
	require.NoError(t, os.Chtimes(files[0], time.Time{}, time.Now().Add(-15*24*time.Hour)))
	b.stop()
	b = w.start(options{})
	require.Eventually(t, func() bool {
		for _, err := range b.InstanceLogs(t.Context(), first, deploy.LogQuery{}) {
			return fault.KindOf(err) == fault.Missing
		}
		return false
	}, 20*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool { return len(b.counted("berth_kept_logs_")) == 0 }, 20*time.Second, 5*time.Millisecond)
}

func TestLogQuery_SaysWhichFieldIsWrong(t *testing.T) {
	for name, q := range map[string]deploy.LogQuery{
		"search": {Search: "(", Regexp: true},
		"until":  {Follow: true, Until: time.Unix(1, 0)},
	} {
		err := q.Check()
		require.Equal(t, fault.BadInput, fault.KindOf(err), name)
		require.ErrorContains(t, err, name)
	}
}
