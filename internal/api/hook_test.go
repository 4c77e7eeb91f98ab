package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/webhook"
)

func TestWebhooks_TellTheirSenderWhatBecameOfADelivery(t *testing.T) {
	var watcher *registry.Watcher
	s := newServer(t, func(c *api.Config) { watcher = c.Watcher })
	const key = "a secret of the sender"
	open, err := s.webhooks.Add(t.Context(), "ana", webhook.Request{Name: "open", Source: webhook.Generic})
	require.NoError(t, err)
	closed, err := s.webhooks.Add(t.Context(), "ana", webhook.Request{Name: "closed", Source: webhook.Generic, Secret: secret.New(key)})
	require.NoError(t, err)
	project := s.do(admin, "POST", "/api/projects", `{"name":"blog","image":"127.0.0.1:2/ana/blog"}`)
	require.Equal(t, http.StatusCreated, project.StatusCode, project.body)
	stage := s.do(admin, "POST", "/api/projects/blog/stages", `{"name":"prod","spec":{"hostname":"blog.example.com","tags":{"kind":"semver","pattern":"^1"}}}`)
	require.Equal(t, http.StatusCreated, stage.StatusCode, stage.body)
	at := func(m webhook.Made) string { return strings.TrimPrefix(m.URL.Reveal(), "http://localhost:8080") }
	none := strings.TrimSuffix(at(open), at(open)[len(at(open))-1:])
	const concerns = `{"image":"127.0.0.1:2/ana/blog:1.4.0"}`
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	require.Eventually(t, func() bool {
		return strings.Contains(s.do(nobody, "POST", at(open), concerns).body, "accepted")
	}, 10*time.Second, 50*time.Millisecond, "the watcher knows what the stages take")
	for _, c := range []struct {
		name, path, key, body string
		status                int
		holds                 string
	}{
		{"of a project's image", at(open), "", concerns, 202, `"verdict":"accepted"`},
		{"with its secret", at(closed), key, concerns, 202, `"verdict":"accepted"`},
		{"of an image that nobody runs", at(open), "", `{"image":"127.0.0.1:2/ana/other:1.4.0"}`, 202, `"verdict":"ignored","reason":"no stage takes`},
		{"without its secret", at(closed), "", concerns, 401, `"code":"unauthenticated"`},
		{"with a wrong secret", at(closed), "another secret", concerns, 401, `"code":"unauthenticated"`},
		{"to no webhook", none, "", concerns, 404, "there is no such webhook"},
		{"to one of another source", strings.Replace(at(open), "/generic/", "/github/", 1), "", concerns, 404, "there is no such webhook"},
		{"of no image", at(open), "", `{"image":""}`, 422, `"code":"invalid"`},
		{"that is no JSON", at(open), "", `{"image`, 422, `"code":"invalid"`},
	} {
		got := s.do(nobody, "POST", c.path, c.body, func(r *http.Request) {
			if c.key != "" {
				r.Header.Set("Authorization", "Bearer "+c.key)
			}
		})
		require.Equal(t, c.status, got.StatusCode, "%s: %s", c.name, got.body)
		require.Contains(t, got.body, c.holds, c.name)
		require.NotContains(t, got.body, key, c.name)
	}

	s.stopClock()
	var got reply
	for range 50 {
		if got = s.do(nobody, "POST", none, concerns); got.StatusCode != http.StatusNotFound {
			break
		}
	}
	require.Equal(t, http.StatusTooManyRequests, got.StatusCode, "guesses are few")
	require.Regexp(t, `^[1-9][0-9]*$`, got.Header.Get("Retry-After"))
	require.Equal(t, http.StatusAccepted, s.do(nobody, "POST", at(open), concerns).StatusCode, "an address that is right is not held up by them")
	for range 500 {
		if got = s.do(nobody, "POST", at(open), concerns); got.StatusCode != http.StatusAccepted {
			break
		}
	}
	require.Equal(t, http.StatusTooManyRequests, got.StatusCode, "nor are deliveries without end")
	require.Regexp(t, `^[1-9][0-9]*$`, got.Header.Get("Retry-After"))
}
