package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/deploy"
	"berth/internal/identity"
)

// Nobody comes by again, and nobody asks for a token: Berth itself hears that a
// group, and an account, were taken away at their providers, and that a third
// provider is away.
func TestIdentityRefresh_TakesAwayWhatAProviderTookAwayAndNothingElse(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: in\n\n")
		if r.URL.Query().Has("go-on") {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(app.Close)
	h := &house{}
	h.berth = startHeard(t, noEngine, &h.log, "BERTH_IDENTITY_REFRESH=1m")
	grouped, accounted, away := h.liar("grouped"), h.liar("accounted"), h.liar("away")
	grouped.told = func(about map[string]any) { about["groups"] = []string{"crew"} }
	policy := identity.Policy{Rules: []identity.Rule{
		{Paths: []string{"/crew"}, Allow: identity.Who{Groups: []string{"grouped:crew"}}},
		{Allow: identity.Who{SignedIn: true}},
	}}
	h.call("POST", "/api/routes", map[string]any{"name": "app", "spec": deploy.FixedSpec{Hostname: "app.localhost", Target: app.URL, Access: &policy}}, nil)

	// opened signs somebody in, and gives what is closed when their stream ends.
	opened := func(l *liar, path string) (*visitor, <-chan struct{}) {
		v := h.visitor()
		require.NotEmpty(t, v.comesBack(v.begin(l)))
		_, r := v.browse(h.appURL("app", path))
		require.Equal(t, http.StatusOK, r.StatusCode, r.body)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.appURL("app", path+"?go-on"), nil)
		require.NoError(t, err)
		response, err := v.client.Do(request)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		over := make(chan struct{})
		go func() {
			defer close(over)
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}()
		return v, over
	}
	member, membersStream := opened(grouped, "/crew")
	holder, holdersStream := opened(accounted, "/")
	other, othersStream := opened(away, "/")

	_ = grouped.lie(func() { grouped.told = func(about map[string]any) { about["groups"] = nil } })
	_ = accounted.lie(func() { accounted.refresh = "" })
	away.Close()
	for what, over := range map[string]<-chan struct{}{"the group": membersStream, "the account": holdersStream} {
		select {
		case <-over:
		case <-time.After(2 * time.Minute):
			require.Fail(t, "a stream goes on", what)
		}
	}
	require.Equal(t, http.StatusForbidden, member.do("GET", h.appURL("app", "/crew"), nil).StatusCode)
	require.Equal(t, http.StatusOK, member.do("GET", h.appURL("app", "/"), nil).StatusCode)
	require.Equal(t, http.StatusUnauthorized, holder.do("GET", h.appURL("app", "/"), nil).StatusCode)
	require.Empty(t, holder.known())

	h.eventually("the provider that is away is known to be", func() error {
		var p api.ProviderDetail
		h.call("GET", "/api/providers/away", nil, &p)
		if p.Refresh.FailingSince.IsZero() {
			return io.ErrNoProgress
		}
		return nil
	})
	require.Equal(t, http.StatusOK, other.do("GET", h.appURL("app", "/"), nil).StatusCode)
	select {
	case <-othersStream:
		t.Error("a provider that is away cut a stream")
	default:
	}
}
