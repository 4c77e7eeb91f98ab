package identity_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// onHost carries a session over to the host of an app, app.test.
func (w *world) onHost(tb testing.TB, subject identity.Subject) secret.Text {
	tb.Helper()
	const host = "app.test"
	ticket, err := w.IssueTicket(subject, identity.Passage{Host: host, Bind: "b", To: "/x"})
	require.NoError(tb, err)
	token, to, err := w.RedeemTicket(tb.Context(), ticket, host, "b")
	require.NoError(tb, err)
	require.Equal(tb, "/x", to)
	return token
}

func TestByHostSession_IsGoodOnItsHostAloneAndAsksTheStoreOnce(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	base, ana := w.signIn(t, "ana")
	token := w.onHost(t, ana)
	guest, err := w.ByHostSession(t.Context(), "app.test", token)
	require.NoError(t, err)
	require.Equal(t, ana.SessionID, guest.Subject().SessionID)
	for range 3 {
		again, err := w.ByHostSession(ended(t), "app.test", token)
		require.NoError(t, err)
		require.Same(t, guest.Subject(), again.Subject())
	}
	guest.Note("made of it")
	again, err := w.ByHostSession(ended(t), "app.test", token)
	require.NoError(t, err)
	require.Equal(t, "made of it", again.Notes())

	for host, wrong := range map[string]secret.Text{"other.test": token, "": token, "app.test": base, "app.tes": secret.New("t" + token.Reveal()[:42])} {
		_, err := w.ByHostSession(t.Context(), host, wrong)
		requireKind(t, fault.Unauthenticated, err)
	}
	_, err = w.BySession(t.Context(), token)
	requireKind(t, fault.Unauthenticated, err)
}

func TestByHostSession_EndsWithItsSession(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	_, other := w.signIn(t, "ana")
	gone, kept := w.onHost(t, ana), w.onHost(t, other)
	for _, token := range []secret.Text{gone, kept} {
		_, err := w.ByHostSession(t.Context(), "app.test", token)
		require.NoError(t, err)
	}
	late, err := w.IssueTicket(ana, identity.Passage{Host: "app.test", Bind: "b"})
	require.NoError(t, err)
	require.NoError(t, w.SignOut(t.Context(), ana))
	_, err = w.ByHostSession(t.Context(), "app.test", gone)
	requireKind(t, fault.Unauthenticated, err)
	_, err = w.ByHostSession(t.Context(), "app.test", kept)
	require.NoError(t, err)
	_, _, err = w.RedeemTicket(t.Context(), late, "app.test", "b")
	requireKind(t, fault.Unauthenticated, err)
}

func TestByHostSession_CountsAsUseOfTheWholeSession(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	base, ana := w.signIn(t, "ana")
	_, err := w.BySession(t.Context(), base)
	require.NoError(t, err)
	token := w.onHost(t, ana)
	for range 3 {
		w.wait(5 * 24 * time.Hour)
		_, err := w.ByHostSession(t.Context(), "app.test", token)
		require.NoError(t, err)
	}
	_, err = w.BySession(ended(t), base)
	require.NoError(t, err)
	w.wait(7 * 24 * time.Hour)
	_, err = w.ByHostSession(t.Context(), "app.test", token)
	requireKind(t, fault.Unauthenticated, err)
}

func TestTickets_AreTakenOnceWithinAMinuteByWhomTheyAreFor(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	issue := func() secret.Text {
		ticket, err := w.IssueTicket(ana, identity.Passage{Host: "app.test", Bind: "b", To: "/"})
		require.NoError(t, err)
		return ticket
	}
	for _, c := range []struct{ host, bind string }{{"other.test", "b"}, {"app.test", "c"}, {"app.test", ""}} {
		ticket := issue()
		_, _, err := w.RedeemTicket(t.Context(), ticket, c.host, c.bind)
		requireKind(t, fault.Unauthenticated, err)
		_, _, err = w.RedeemTicket(t.Context(), ticket, "app.test", "b")
		requireKind(t, fault.Unauthenticated, err)
	}
	old := issue()
	w.wait(time.Minute)
	_, _, err := w.RedeemTicket(t.Context(), old, "app.test", "b")
	requireKind(t, fault.Unauthenticated, err)
	for range 50 {
		issue()
	}
	_, err = w.IssueTicket(ana, identity.Passage{Host: "app.test", Bind: "b"})
	requireKind(t, fault.NotNow, err)
	w.wait(time.Minute)
	issue()
	_, err = w.IssueTicket(identity.Subject{Person: ana.Person, Via: identity.ViaToken}, identity.Passage{})
	requireKind(t, fault.Denied, err)
}

func TestWatch_CutsAtTheEndOfTheProofAndNeverMissesIt(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	w.person(t, "bob", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	_, bob := w.signIn(t, "bob")
	hers, his := w.onHost(t, ana), w.onHost(t, bob)
	var cut []string
	watch := func(name string, token secret.Text) (*identity.Watch, bool) {
		guest, err := w.ByHostSession(t.Context(), "app.test", token)
		require.NoError(t, err)
		one := &identity.Watch{}
		return one, w.Watch(one, guest, func() { cut = append(cut, name) }, func() {})
	}
	one, ok := watch("hers", hers)
	require.True(t, ok)
	over, ok := watch("over", hers)
	require.True(t, ok)
	w.Unwatch(over)
	w.Unwatch(over)
	_, ok = watch("his", his)
	require.True(t, ok)
	late, err := w.ByHostSession(t.Context(), "app.test", hers)
	require.NoError(t, err)
	require.NoError(t, w.SignOut(t.Context(), ana))
	require.Equal(t, []string{"hers"}, cut)
	w.Unwatch(one)
	require.False(t, w.Watch(&identity.Watch{}, late, func() {}, func() {}), "it ended between being found and being watched")
}

func TestWatch_CutsWhatHasExpired(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, _ func() error) {
		t.Helper()
		w.person(t, "ana", identity.RoleMember)
		_, ana := w.signIn(t, "ana")
		guest, err := w.ByHostSession(t.Context(), "app.test", w.onHost(t, ana))
		require.NoError(t, err)
		var cut atomic.Bool
		require.True(t, w.Watch(&identity.Watch{}, guest, func() { cut.Store(true) }, func() {}))
		time.Sleep(7*24*time.Hour - time.Second)
		synctest.Wait()
		require.False(t, cut.Load())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.True(t, cut.Load())
	})
}

// What a provider told counts for a day, and longer where it has told it again.
func TestWatch_HasWhoIsWatchedDecidedAnewWhenWhatWasToldIsTooOld(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, _ func() error) {
		t.Helper()
		w.setUp(t)
		told := identity.External{Provider: "corp", Issuer: "https://corp", ExternalID: "1", Username: "ana", Create: true, Groups: []string{"corp:ops"}}
		_, ana, err := w.SignInExternal(t.Context(), told, home, func(*sqlite.Tx, string) error { return nil })
		require.NoError(t, err)
		guest, err := w.ByHostSession(t.Context(), "app.test", w.onHost(t, ana))
		require.NoError(t, err)
		var again atomic.Int64
		require.True(t, w.Watch(&identity.Watch{}, guest, func() { t.Error("cut") }, func() { again.Add(1) }))
		after := func(d time.Duration, want int64) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			require.Equal(t, want, again.Load())
		}
		after(23*time.Hour, 0)
		require.NoError(t, w.SyncExternal(t.Context(), told))
		require.Equal(t, time.Now().Add(24*time.Hour).Truncate(time.Millisecond).UTC(), guest.Now().SyncedUntil)
		after(24*time.Hour-time.Millisecond, 0)
		after(time.Second, 1)
		after(time.Hour, 1) // once
		require.NoError(t, w.SyncExternal(t.Context(), told))
		after(24*time.Hour+time.Second, 2)
	})
}

func TestKnowProviders_HasEverybodyDecidedAnewWhenTheOnlyOneIsAnother(t *testing.T) {
	w := newWorld(t)
	require.Empty(t, w.OnlyProvider())
	w.person(t, "ana", identity.RoleMember)
	_, ana := w.signIn(t, "ana")
	guest, err := w.ByHostSession(t.Context(), "app.test", w.onHost(t, ana))
	require.NoError(t, err)
	again := 0
	require.True(t, w.Watch(&identity.Watch{}, guest, func() { t.Error("cut") }, func() { again++ }))
	for _, c := range []struct {
		slugs []string
		only  string
		again int
	}{{nil, "", 1}, {[]string{"corp"}, "corp", 2}, {[]string{"corp"}, "corp", 2}, {[]string{"corp", "github"}, "", 3}, {[]string{"github"}, "github", 4}} {
		w.KnowProviders(c.slugs)
		require.Equal(t, c.only, w.OnlyProvider())
		require.Equal(t, c.again, again)
	}
}

func TestByHostSession_TakesNothingThatIsNoToken(t *testing.T) {
	w := newWorld(t)
	for _, wrong := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 44)} {
		_, err := w.ByHostSession(t.Context(), strings.Repeat("h", 600), secret.New(wrong))
		requireKind(t, fault.Unauthenticated, err)
	}
}
