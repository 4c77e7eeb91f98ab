package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

// TestOvertake_SlowOldNeverReplacesFastNew asks for a new release while an old
// one is at its start, which ends only after that.
func TestOvertake_SlowOldNeverReplacesFastNew(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		b := start(t, e)
		project := projectPrefix(t)
		b.stage(project, nil)
		b.push(project, "1", image(t, "1"))
		b.push(project, "2", image(t, "2", "APP_HELD=yes"))
		b.push(project, "3", image(t, "3"))
		b.live(project, "1")

		slow := b.deploy(project, "2")
		begin := b.held(project, slow.ID)
		fast := b.deploy(project, "3")
		require.Less(t, slow.Generation, fast.Generation)
		begin()
		require.Equal(t, deploy.Live, b.wait(fast.ID).State)
		require.NotEqual(t, deploy.Live, b.wait(slow.ID).State, "the older one must not be live beside the newer")
		require.NoError(t, b.answers(project, "3"))
		b.eventually("only the new release's container is left", func() error { return b.onlyContainer(project) })
		require.NoError(t, b.answers(project, "3"))
	})
}

// TestOvertake_WaitingIsSuperseded holds the queue to one place: of two
// requests made while a deployment is under way, the first one never begins.
func TestOvertake_WaitingIsSuperseded(t *testing.T) {
	b := start(t, anyEngine(t))
	project := projectPrefix(t)
	b.stage(project, nil)
	b.push(project, "1", image(t, "1", "APP_HELD=yes"))
	b.push(project, "2", image(t, "2"))
	b.push(project, "3", image(t, "3"))

	first := b.deploy(project, "1")
	begin := b.held(project, first.ID)
	middle := b.deploy(project, "2")
	last := b.deploy(project, "3")
	superseded := b.wait(middle.ID)
	require.Equal(t, deploy.Superseded, superseded.State)
	require.True(t, superseded.StartedAt.IsZero(), "it began at %s", superseded.StartedAt)
	begin()
	require.Equal(t, deploy.Live, b.wait(last.ID).State)
	require.Equal(t, deploy.Replaced, b.wait(first.ID).State, "what was under way is not superseded")
	require.NoError(t, b.answers(project, "3"))
}

// held waits until the app of a deployment is up and held (APP_HELD), and gives
// what has it begin.
func (b *berth) held(project, deployment string) (begin func()) {
	b.t.Helper()
	ask := func(method, path string) (status int, err error) {
		for _, c := range b.containers(project) {
			if c.Labels["berth.deployment"] != deployment || c.Address == "" {
				continue
			}
			request, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+c.Address+path, http.NoBody)
			if err != nil {
				return 0, err
			}
			request.Close = true // an app that ends waits for connections
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return 0, err
			}
			return response.StatusCode, response.Body.Close()
		}
		return 0, errors.New("it has no container with an address")
	}
	b.eventually("the app is held", func() error {
		if status, err := ask(http.MethodGet, "/health"); err != nil || status != http.StatusServiceUnavailable {
			return fmt.Errorf("status %d: %w", status, err)
		}
		return nil
	})
	return func() {
		status, err := ask(http.MethodPost, "/begin")
		require.NoError(b.t, err)
		require.Equal(b.t, http.StatusOK, status)
	}
}
