package api

import (
	"context"
	"errors"
	"iter"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// silence is a source where nothing comes until its context ends.
func silence(ctx context.Context) iter.Seq2[int, error] {
	return func(func(int, error) bool) { <-ctx.Done() }
}

func runPump(ctx context.Context, a *API, w *httptest.ResponseRecorder, source func(context.Context) iter.Seq2[int, error]) error {
	f := newFeed(w)
	return pump(ctx, a, f, source,
		func(i int) error { return f.send(int64(i), "number", i) },
		func() error { return f.send(-1, "ping", Ping{}) })
}

func TestPump_PingsAtOnceAndEveryFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 46*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		require.NoError(t, runPump(ctx, &API{}, w, silence))
		require.Equal(t, 4, strings.Count(w.Body.String(), "event: ping"))
	})
}

func TestPump_EndsWhenTheAPIStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &API{stopping: make(chan struct{})}
		time.AfterFunc(time.Second, a.EndStreams)
		require.NoError(t, runPump(t.Context(), a, httptest.NewRecorder(), silence))
	})
}

func TestPump_SendsAllBeforeTheSourcesError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the engine is gone")
		w := httptest.NewRecorder()
		err := runPump(t.Context(), &API{}, w, func(context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { _ = yield(1, nil) && yield(2, nil) && yield(0, broken) }
		})
		require.ErrorIs(t, err, broken)
		require.Contains(t, w.Body.String(), "id: 1\nevent: number\ndata: 1\n\nid: 2\nevent: number\ndata: 2\n\n")
	})
}
