package registry_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/registry"
	"berth/internal/secret"
)

// strict is a registry that answers as it is told to, and remembers who asked.
type strict struct {
	*httptest.Server
	mu     sync.Mutex
	limit  string // Retry-After of a 429; "" answers
	asked  []string
	spared int // answers of 304
	// tags are what it lists besides "1" and "2"; moved is what
	// they point to, limited the one that it answers 429 for.
	tags    []string
	moved   string
	limited string
}

func newStrict(t *testing.T) *strict {
	t.Helper()
	s := &strict{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.URL.Path == "/v2/" {
			return
		}
		s.asked = append(s.asked, r.Method+" "+r.URL.Path)
		if s.limit != "" {
			w.Header().Set("Retry-After", s.limit)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if s.limited != "" && strings.HasSuffix(r.URL.Path, "/manifests/"+s.limited) {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		tag := `"one` + s.moved + strings.Join(s.tags, " ") + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			s.spared++
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			_ = json.NewEncoder(w).Encode(map[string][]string{"tags": append([]string{"1", "2"}, s.tags...)})
			return
		}
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat(cmp.Or(s.moved, "a"), 64))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *strict) host() string { return strings.TrimPrefix(s.URL, "http://") }

func (s *strict) set(limit string) {
	s.mu.Lock()
	s.limit, s.asked = limit, nil
	s.mu.Unlock()
}

func (s *strict) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.asked...)
}

func TestWatcher_LeavesAHostAloneAsLongAsItAsks(t *testing.T) {
	s, b := newStrict(t), newBerth(t)
	one, two := s.host()+"/one", s.host()+"/two"
	m := b.watch(b.knowing(s.host()),
		registry.Interest{Project: "one", Repository: one, Rules: []registry.Rule{exactly("1")}},
		registry.Interest{Project: "two", Repository: two, Rules: []registry.Rule{exactly("1")}})
	require.Eventually(t, func() bool { list, _ := m.Sources("", "", 0); return len(list) == 2 }, 10*time.Second, 5*time.Millisecond)
	b.clock.pass(time.Second) // those that are new come one by one
	m.polled(one)
	m.polled(two)

	s.set("600")
	got := m.poll(one)
	require.Equal(t, registry.SourceWaiting, got.State)
	require.Contains(t, got.Error, "asks to wait")
	require.GreaterOrEqual(t, got.NextAt.Sub(b.clock.Now()), 10*time.Minute-time.Second)
	require.Equal(t, []string{"HEAD /v2/one/manifests/1"}, s.requests())

	_, err := m.Poll(t.Context(), two)
	require.NoError(t, err)
	time.Sleep(50 * time.Millisecond) // nothing may happen
	require.Len(t, s.requests(), 1, "nor is the host asked for another image")

	s.set("")
	b.clock.pass(12 * time.Minute)
	_, err = m.Poll(t.Context(), one)
	require.NoError(t, err)
	require.Eventually(t, func() bool { s, _ := m.source(one); return s.State == registry.SourceOK }, 10*time.Second, 5*time.Millisecond)
	require.Empty(t, b.found())
}

func TestWatcher_LetsTheRegistrySayThatNothingChanged(t *testing.T) {
	s, b := newStrict(t), newBerth(t)
	repository := s.host() + "/shop"
	m := b.watch(b.knowing(s.host()), registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{exactly("1"), beginning("2")}})
	m.polled(repository)
	require.Equal(t, []string{"HEAD /v2/shop/manifests/1", "GET /v2/shop/tags/list", "HEAD /v2/shop/manifests/2"}, s.requests())
	m.poll(repository)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, 3, s.spared, "each of them by its ETag")
	require.Len(t, s.asked, 6)
}

func TestWatcher_AsksOnceForAllStagesOfAnImage(t *testing.T) {
	s, b := newStrict(t), newBerth(t)
	repository := s.host() + "/shop"
	var wanted []registry.Interest
	for i := range 50 {
		wanted = append(wanted, registry.Interest{Project: fmt.Sprint("p", i), Repository: repository, Rules: []registry.Rule{exactly("1")}})
	}
	m := b.watch(b.knowing(s.host()), wanted...)
	m.polled(repository)
	m.poll(repository)
	require.Equal(t, []string{"HEAD /v2/shop/manifests/1", "HEAD /v2/shop/manifests/1"}, s.requests())
}

func TestWatcher_AsksNothingOfARegistryThatIsNotToBePolled(t *testing.T) {
	s, b := newStrict(t), newBerth(t)
	repository := s.host() + "/shop"
	r := b.resolver()
	require.NoError(t, r.SetAccount(t.Context(), "ana", nil, registry.RegistryAccount{Host: s.host(), PollInterval: registry.Never}, secret.Text{}))
	m := b.watch(r, registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{exactly("1")}})
	require.Eventually(t, func() bool { got, ok := m.source(repository); return ok && got.State == registry.SourceOff }, 10*time.Second, 5*time.Millisecond)
	b.clock.pass(time.Hour)
	hint, err := registry.NewHint(repository, "1")
	require.NoError(t, err)
	require.Empty(t, s.requests())
	m.hint("", hint)
	require.Equal(t, []string{"shop:1 by webhook"}, b.found())
	m.hint("", hint)
	require.Len(t, b.found(), 1)
}

// TestWatcher_LosesNothingThatItSawBeforeTheRegistrySaidNo has a tag move and
// others come in a poll that the registry breaks off.
func TestWatcher_LosesNothingThatItSawBeforeTheRegistrySaidNo(t *testing.T) {
	s, b := newStrict(t), newBerth(t)
	repository := s.host() + "/shop"
	m := b.watch(b.knowing(s.host()), registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{exactly("1"), beginning("v")}})
	m.polled(repository)

	s.mu.Lock()
	s.tags, s.moved, s.limited = []string{"v3", "v4"}, "b", "v3"
	s.mu.Unlock()
	got := m.poll(repository)
	require.Equal(t, registry.SourceWaiting, got.State)
	require.Equal(t, []string{"shop:1 by poll"}, b.found(), "what is new waits, to be told in order")

	s.mu.Lock()
	s.limited = ""
	s.mu.Unlock()
	b.clock.pass(12 * time.Minute)
	m.poll(repository)
	require.Equal(t, []string{"shop:1 by poll", "shop:v3 by poll", "shop:v4 by poll"}, b.found())
}
