package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/needs"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// wishes is what the tests want watched.
type wishes struct {
	mu   sync.Mutex
	list []registry.Interest
}

func (w *wishes) Interests(context.Context) ([]registry.Interest, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list), nil
}

func (*wishes) InterestKinds() []event.Kind { return []event.Kind{"wishes.changed"} }

func exactly(tag string) registry.Rule { return registry.Rule{Name: "exact " + tag, Tag: tag} }

func beginning(with string) registry.Rule {
	return registry.Rule{Name: "glob " + with + "*", Match: func(tag string) bool { return strings.HasPrefix(tag, with) }}
}

// watchman is a Watcher that runs over a registry elsewhere.
type watchman struct {
	*registry.Watcher
	b        *berth
	resolver *registry.Resolver
	wishes   *wishes
	stop     func()
}

// watch starts a Watcher on what b stores. It is stopped at the test's end,
// or by its stop.
func (b *berth) watch(resolver *registry.Resolver, wanted ...registry.Interest) *watchman {
	b.t.Helper()
	m := &watchman{b: b, resolver: resolver, wishes: &wishes{list: wanted}}
	var err error
	m.Watcher, err = registry.NewWatcher(registry.WatcherConfig{Resolver: resolver, Interests: m.wishes, Clock: b.clock.Now})
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(b.t, <-ended)
	})
	b.t.Cleanup(m.stop)
	return m
}

// want changes what is watched.
func (m *watchman) want(wanted ...registry.Interest) {
	m.b.t.Helper()
	m.wishes.mu.Lock()
	m.wishes.list = wanted
	m.wishes.mu.Unlock()
	require.NoError(m.b.t, m.b.db.Write(m.b.t.Context(), func(tx *sqlite.Tx) error {
		return m.b.events.Append(m.b.t.Context(), tx, event.Event{Kind: "wishes.changed"}, nil)
	}))
}

// source gives how a repository does.
func (m *watchman) source(repository string) (s registry.Source, ok bool) {
	list, _ := m.Sources("", "", 0)
	for _, s := range list {
		if s.Repository == repository {
			return s, true
		}
	}
	return s, false
}

// polled waits until a repository was looked at since it was last asked for.
func (m *watchman) polled(repository string) registry.Source {
	m.b.t.Helper()
	var s registry.Source
	require.Eventually(m.b.t, func() bool {
		s, _ = m.source(repository)
		return !s.PolledAt.IsZero()
	}, 10*time.Second, 5*time.Millisecond, "the repository is polled: %+v", s)
	return s
}

// poll moves the clock on, has a repository polled and waits until it was.
func (m *watchman) poll(repository string) registry.Source {
	m.b.t.Helper()
	m.b.clock.pass(time.Millisecond)
	before := m.polled(repository).PolledAt
	_, err := m.Poll(m.b.t.Context(), repository)
	require.NoError(m.b.t, err)
	var s registry.Source
	require.Eventually(m.b.t, func() bool {
		s, _ = m.source(repository)
		return s.PolledAt.After(before)
	}, 10*time.Second, 5*time.Millisecond, "the repository is polled again")
	return s
}

// hint gives hints and waits until none is left to look up.
func (m *watchman) hint(project string, hints ...registry.Hint) (concern []registry.Hint) {
	m.b.t.Helper()
	m.b.clock.pass(time.Minute)
	require.NoError(m.b.t, m.b.db.Write(m.b.t.Context(), func(tx *sqlite.Tx) (err error) {
		concern, err = m.Hint(m.b.t.Context(), tx, project, hints)
		return err
	}))
	m.lookedUp()
	return concern
}

func (m *watchman) lookedUp() {
	m.b.t.Helper()
	require.Eventually(m.b.t, func() bool {
		var left int
		require.NoError(m.b.t, m.b.db.Read(m.b.t.Context(), func(tx *sqlite.Tx) error {
			return tx.QueryRowContext(m.b.t.Context(), `SELECT COUNT(*) FROM registry_hints`).Scan(&left)
		}))
		return left == 0
	}, 10*time.Second, 5*time.Millisecond, "every hint is looked up")
}

// found lists what events tell of, as "repository:tag by".
func (b *berth) found() []string {
	b.t.Helper()
	list := []string{}
	events, err := b.events.Since(b.t.Context(), 0, event.Filter{Kinds: []event.Kind{registry.ImageFound}}, 1000)
	require.NoError(b.t, err)
	for _, e := range events {
		var f registry.Found
		require.NoError(b.t, json.Unmarshal(e.Data, &f))
		require.NotEmpty(b.t, f.Digest)
		_, path, _ := strings.Cut(f.Repository, "/")
		list = append(list, path+":"+f.Tag+" by "+f.By)
	}
	return list
}

// distribution is Debian's docker-registry with a password, on a port of its
// own.
type distribution struct {
	t    testing.TB
	host string
}

var ina = &authn.Basic{Username: "ina", Password: "ina-password"}

func newDistribution(t *testing.T) *distribution {
	t.Helper()
	return &distribution{t, needs.Registry(t, ina.Username, ina.Password)}
}

func (d *distribution) repository(repository string) name.Repository {
	d.t.Helper()
	r, err := name.NewRepository(d.host + "/" + repository)
	require.NoError(d.t, err)
	return r
}

// push puts a new image at a tag.
func (d *distribution) push(repository string, tags ...string) { //nolint:unparam // it reads better with the name
	d.t.Helper()
	for _, tag := range tags {
		image, err := random.Image(64, 1)
		require.NoError(d.t, err)
		d.put(repository, tag, image)
	}
}

func (d *distribution) put(repository, tag string, image v1.Image) {
	d.t.Helper()
	require.NoError(d.t, remote.Write(d.repository(repository).Tag(tag), image, remote.WithAuth(ina)))
}

// known gives a resolver with an account for the registry.
func (d *distribution) known(b *berth) *registry.Resolver {
	d.t.Helper()
	r := b.resolver()
	require.NoError(d.t, r.SetAccount(d.t.Context(), "ana", nil, registry.RegistryAccount{Host: d.host, Username: ina.Username}, secret.New(ina.Password)))
	return r
}

func TestWatcher_TellsOfATagThatMoved(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "latest", "other")
	repository := d.host + "/shop"
	m := b.watch(d.known(b), registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{exactly("latest")}})

	s := m.polled(repository)
	require.Equal(t, registry.SourceOK, s.State, s.Error)
	require.Empty(t, b.found(), "what is there at first is only taken note of")
	m.poll(repository)
	require.Empty(t, b.found(), "what has not moved is no news")

	d.push("shop", "latest", "other")
	m.poll(repository)
	require.Equal(t, []string{"shop:latest by poll"}, b.found())
	m.poll(repository)
	require.Len(t, b.found(), 1)
}

func TestWatcher_TellsOfNewTagsOfAPatternInTheOrderOfTheirVersions(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "v1.0.0", "v1.1.0", "nightly")
	repository := d.host + "/shop"
	m := b.watch(d.known(b), registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{beginning("v")}})
	m.polled(repository)

	d.push("shop", "v1.10.0", "v1.9.0", "nightly-2", "v1.2.0")
	m.poll(repository)
	require.Equal(t, []string{"shop:v1.2.0 by poll", "shop:v1.9.0 by poll", "shop:v1.10.0 by poll"}, b.found())

	d.push("shop", "v1.1.0")
	m.poll(repository)
	require.Equal(t, "shop:v1.1.0 by poll", b.found()[3], "a tag that a pattern takes may move too")
}

func TestWatcher_TellsLastOfTheImageThatWasCreatedLast(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "1.0.0")
	repository := d.host + "/shop"
	m := b.watch(d.known(b), registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{beginning("1")}})
	m.polled(repository)

	for n, tag := range []string{"1.5.0", "1.4.3"} {
		image, err := random.Image(64, 1)
		require.NoError(t, err)
		image, err = mutate.CreatedAt(image, v1.Time{Time: created(n)})
		require.NoError(t, err)
		d.put("shop", tag, image)
	}
	m.poll(repository)
	require.Equal(t, []string{"shop:1.5.0 by poll", "shop:1.4.3 by poll"}, b.found(), "as the preview of a stage's tags calls the newest")
}

func created(n int) time.Time { return time.Date(2026, 11, 20, 8, n, 0, 0, time.UTC) }

// TestWatcher_TellsOfAllNewTagsHoweverManyThereAre has more new tags than one
// poll looks up, whose names say the opposite of their times.
func TestWatcher_TellsOfAllNewTagsHoweverManyThereAre(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "sha-old")
	repository := d.host + "/shop"
	r := d.known(b)
	shop := registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{beginning("sha-")}}
	m := b.watch(r, shop)
	m.polled(repository)
	const all = 31
	for n := range all {
		image, err := random.Image(64, 1)
		require.NoError(t, err)
		image, err = mutate.CreatedAt(image, v1.Time{Time: created(n)})
		require.NoError(t, err)
		d.put("shop", fmt.Sprintf("sha-%02d", all-1-n), image)
	}
	s := m.poll(repository)
	require.Len(t, b.found(), 20)
	require.LessOrEqual(t, s.NextAt.Sub(b.clock.Now()), 35*time.Second, "the rest is looked up soon")
	m.stop()

	m = b.watch(r, shop) // what is left to look up outlasts the process
	m.poll(repository)
	require.Len(t, b.found(), all)
	require.Equal(t, "shop:sha-00 by poll", b.found()[all-1], "the newest is told of last")
	events, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{registry.ImageFound}}, 100)
	require.NoError(t, err)
	var last registry.Found
	require.NoError(t, json.Unmarshal(events[all-1].Data, &last))
	require.True(t, last.New)
	require.Equal(t, created(all-1), last.Created)
	s = m.poll(repository)
	require.Len(t, b.found(), all)
	require.Greater(t, s.NextAt.Sub(b.clock.Now()), time.Minute)
}

func TestWatcher_AsksOnceForAnImageThatIsSpelledInTwoWays(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "1")
	repository := d.host + "/shop"
	host := strings.Replace(d.host, "127.0.0.1", "localhost", 1)
	loud := strings.Replace(host, "localhost", "LocalHost", 1) + "/shop"
	quiet := host + "/shop"
	require.NotEqual(t, repository, quiet)
	r := b.resolver()
	require.NoError(t, r.SetAccount(t.Context(), "ana", nil, registry.RegistryAccount{Host: host, Username: ina.Username}, secret.New(ina.Password)))
	m := b.watch(r,
		registry.Interest{Project: "one", Repository: loud, Rules: []registry.Rule{exactly("1")}},
		registry.Interest{Project: "two", Repository: quiet, Rules: []registry.Rule{exactly("1")}})
	s := m.polled(quiet)
	require.Equal(t, []string{"one", "two"}, s.Projects)
	list, _ := m.Sources("", "", 0)
	require.Len(t, list, 1)
	_, err := m.Poll(t.Context(), loud)
	require.NoError(t, err, "either spelling names it")

	d.push("shop", "1")
	m.poll(quiet)
	var told []string
	events, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{registry.ImageFound}}, 10)
	require.NoError(t, err)
	for _, e := range events {
		var f registry.Found
		require.NoError(t, json.Unmarshal(e.Data, &f))
		told = append(told, f.Repository)
	}
	require.ElementsMatch(t, []string{loud, quiet}, told, "each project hears of it as it spells it")
}

func TestWatcher_TakesOnlyNoteOfWhatANewRuleFinds(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "1", "2")
	repository := d.host + "/shop"
	shop := func(rules ...registry.Rule) registry.Interest {
		return registry.Interest{Project: "shop", Repository: repository, Rules: rules}
	}
	m := b.watch(d.known(b), shop(exactly("1")))
	m.polled(repository)
	has := func(n int) {
		require.Eventually(t, func() bool { s, _ := m.source(repository); return len(s.Rules) == n }, 20*time.Second, 5*time.Millisecond)
	}
	m.want(shop(exactly("1"), exactly("2")))
	has(2)
	m.poll(repository)
	require.Empty(t, b.found())

	// A tag that moved while no rule took it is no news when one does again.
	m.want(shop(exactly("1")))
	has(1)
	m.poll(repository)
	d.push("shop", "2")
	m.want(shop(exactly("1"), exactly("2")))
	has(2)
	m.poll(repository)
	require.Empty(t, b.found())
	d.push("shop", "2")
	m.poll(repository)
	require.Equal(t, []string{"shop:2 by poll"}, b.found())
}

func TestWatcher_LooksUpWhatIsHintedAt(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "1")
	repository := d.host + "/shop"
	m := b.watch(d.known(b), registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{beginning("1")}})
	m.polled(repository)
	hint := func(reference string) registry.Hint {
		h, err := registry.NewHint(repository, reference)
		require.NoError(t, err)
		return h
	}

	require.Len(t, m.hint("", hint("1")), 1)
	require.Empty(t, b.found(), "a tag that has not moved is no news, whatever the sender says")

	d.push("shop", "1")
	require.Len(t, m.hint("shop", hint("1")), 1)
	require.Equal(t, []string{"shop:1 by webhook"}, b.found())
	require.Len(t, m.hint("", hint("1"), hint("1")), 1)
	require.Len(t, b.found(), 1)

	d.push("shop", "1.1", "2")
	require.Empty(t, m.hint("", hint("2")), "no rule takes it")
	require.Empty(t, m.hint("other", hint("1.1")), "it is another project's webhook")
	other, err := registry.NewHint("ghcr.io/ana/shop", "1.1")
	require.NoError(t, err)
	require.Empty(t, m.hint("", other))
	require.Len(t, b.found(), 1)
	require.Len(t, m.hint("", hint("1.1")), 1)
	require.Equal(t, "shop:1.1 by webhook", b.found()[1])

	d.push("shop", "1.2")
	require.Len(t, m.hint("", hint("sha256:"+strings.Repeat("a", 64))), 1, "a digest alone has the repository polled")
	require.Equal(t, "shop:1.2 by poll", b.found()[2])
}

func TestWatcher_KnowsAfterARestartWhatItKnew(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "1")
	repository := d.host + "/shop"
	shop := registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{exactly("1")}}
	r := d.known(b)
	m := b.watch(r, shop)
	m.polled(repository)
	m.stop()

	d.push("shop", "1")
	m = b.watch(r, shop)
	m.poll(repository)
	require.Equal(t, []string{"shop:1 by poll"}, b.found())
}

func TestWatcher_SaysWhatIsWrong(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "1")
	repository := d.host + "/shop"
	r := b.knowing(d.host)
	m := b.watch(r, registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{exactly("1"), exactly("2")}})
	s := m.polled(repository)
	require.Equal(t, registry.SourceFailing, s.State)
	require.Contains(t, s.Error, "an administrator can add an account")
	require.Greater(t, s.NextAt.Sub(b.clock.Now()), 8*time.Minute, "what fails is asked more rarely")

	require.NoError(t, r.SetAccount(t.Context(), "ana", nil, registry.RegistryAccount{Host: d.host, Username: ina.Username}, secret.New(ina.Password)))
	s = m.poll(repository)
	require.Equal(t, registry.SourceOK, s.State, s.Error)
	require.Equal(t, []string{"2"}, s.Missing)
	_, err := m.Poll(t.Context(), "ghcr.io/ana/none")
	require.Equal(t, fault.Missing, fault.KindOf(err))
}

func TestWatcher_TellsOnceOfAnImageThatFailsForAWhileAndOnceOfTheEnd(t *testing.T) {
	d, b := newDistribution(t), newBerth(t)
	d.push("shop", "1")
	repository := d.host + "/shop"
	r := b.resolver()
	m := b.watch(r, registry.Interest{Project: "shop", Repository: repository, Rules: []registry.Rule{exactly("1")}})
	turns := func() (said []string) {
		list, err := b.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{registry.SourceFails, registry.SourceRecovers}}, 0)
		require.NoError(t, err)
		for _, e := range list {
			var turn registry.SourceTurn
			require.NoError(t, json.Unmarshal(e.Data, &turn))
			require.Equal(t, repository, turn.Repository)
			require.Equal(t, e.Kind == registry.SourceFails, strings.Contains(turn.Error, "an administrator can add an account"))
			said = append(said, string(e.Kind))
		}
		return said
	}
	m.polled(repository)
	m.poll(repository)
	require.Empty(t, turns(), "twice is not a while")
	m.poll(repository)
	m.poll(repository)
	require.Equal(t, []string{"source.failing"}, turns())
	require.NoError(t, r.SetAccount(t.Context(), "ana", nil, registry.RegistryAccount{Host: d.host, Username: ina.Username}, secret.New(ina.Password)))
	m.poll(repository)
	m.poll(repository)
	require.Equal(t, []string{"source.failing", "source.recovered"}, turns())
}
