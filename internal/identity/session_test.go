package identity_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

func TestBySession_FindsThePersonAndAsksTheStoreOnce(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	token, signedIn := w.signIn(t, "ana")
	require.Len(t, token.Reveal(), 43)

	_, err := w.BySession(ended(t), token)
	requireKind(t, fault.Internal, err)
	subject, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, signedIn, subject)
	require.Equal(t, identity.Subject{
		Person: ana, Via: identity.ViaSession, SessionID: subject.SessionID, Provider: identity.ProviderLocal,
		OwnGroups: []string{}, Groups: []string{}, Methods: []identity.Method{identity.MethodPassword}, AuthenticatedAt: subject.AuthenticatedAt,
	}, subject)
	require.Equal(t, start, subject.AuthenticatedAt)
	for range 3 {
		again, err := w.BySession(ended(t), token)
		require.NoError(t, err)
		require.Equal(t, subject, again)
	}
}

func TestBySession_RefusesWhatIsNoSession(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	token, subject := w.signIn(t, "ana")
	api, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeAdmin, time.Time{})
	require.NoError(t, err)
	_, err = w.ByToken(t.Context(), api)
	require.NoError(t, err)

	for _, wrong := range []string{"", "x", strings.Repeat("A", 43), token.Reveal() + "x", token.Reveal()[:42], api.Reveal(), strings.ToLower(token.Reveal())} {
		_, err := w.BySession(t.Context(), secret.New(wrong))
		requireKind(t, fault.Unauthenticated, err)
	}
	_, err = w.ByToken(t.Context(), token)
	requireKind(t, fault.Unauthenticated, err)
	_, err = w.ByToken(t.Context(), secret.New("berth_"+token.Reveal()))
	requireKind(t, fault.Unauthenticated, err)
}

func TestBySession_OutlivesARestartAndKeepsOnlyAHash(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	token, before := w.signIn(t, "ana")
	w.restart(t, 4)
	after, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, before, after)

	var hash []byte
	require.NoError(t, w.db.Read(t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT token_hash FROM sessions").Scan(&hash)
	}))
	require.Len(t, hash, 32)
	require.NotContains(t, token.Reveal(), string(hash))
}

func TestBySession_EndsWhenIdle(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	token, _ := w.signIn(t, "ana")
	for range 3 { // used every six days it lives on
		w.wait(6 * 24 * time.Hour)
		_, err := w.BySession(t.Context(), token)
		require.NoError(t, err)
	}
	w.wait(7 * 24 * time.Hour)
	for range 2 {
		_, err := w.BySession(t.Context(), token)
		requireKind(t, fault.Unauthenticated, err)
	}
}

func TestBySession_EndsAtItsLimitHoweverBusy(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	token, _ := w.signIn(t, "ana")
	for range 29 {
		w.wait(24 * time.Hour)
		_, err := w.BySession(t.Context(), token)
		require.NoError(t, err)
	}
	w.wait(24 * time.Hour)
	_, err := w.BySession(t.Context(), token)
	requireKind(t, fault.Unauthenticated, err)
}

func TestSignOut_EndsTheSessionAtOnce(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	token, subject := w.signIn(t, "ana")
	other, _ := w.signIn(t, "ana")
	for _, one := range []secret.Text{token, other} {
		_, err := w.BySession(t.Context(), one)
		require.NoError(t, err)
	}
	require.NoError(t, w.SignOut(t.Context(), subject))
	_, err := w.BySession(t.Context(), token)
	requireKind(t, fault.Unauthenticated, err)
	_, err = w.BySession(t.Context(), other)
	require.NoError(t, err)

	gone := w.happened(t, identity.SessionEnded)
	require.Len(t, gone, 1)
	require.Equal(t, subject.SessionID, about(t, gone[0], "session"))
	requireKind(t, fault.Missing, w.SignOut(t.Context(), subject))
	requireKind(t, fault.BadInput, w.SignOut(t.Context(), identity.Local()))
}

func TestEndSession_IsForOnesOwnOrAnAdministrator(t *testing.T) {
	w := newWorld(t)
	w.person(t, "root", identity.RoleAdministrator)
	ana := w.person(t, "ana", identity.RoleMember)
	w.person(t, "bob", identity.RoleMember)
	token, hers := w.signIn(t, "ana")
	_, bobs := w.signIn(t, "bob")
	_, root := w.signIn(t, "root")

	requireKind(t, fault.Denied, w.EndSession(t.Context(), bobs, ana.ID, hers.SessionID))
	requireKind(t, fault.Missing, w.EndSession(t.Context(), bobs, bobs.Person.ID, hers.SessionID))
	weak := identity.Subject{Person: ana, Via: identity.ViaToken, Scope: identity.ScopeDeploy}
	requireKind(t, fault.Denied, w.EndSession(t.Context(), weak, ana.ID, hers.SessionID))
	_, err := w.BySession(t.Context(), token)
	require.NoError(t, err)

	require.NoError(t, w.EndSession(t.Context(), root, ana.ID, hers.SessionID))
	_, err = w.BySession(t.Context(), token)
	requireKind(t, fault.Unauthenticated, err)
	gone := w.happened(t, identity.SessionEnded)[0]
	require.Equal(t, "root", gone.Actor)
	require.Equal(t, "ana", about(t, gone, "username"), "whose it was")
}

func TestEndOtherSessions_KeepsTheOneInHand(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	token, subject := w.signIn(t, "ana")
	for range 3 {
		w.wait(time.Second)
		w.signIn(t, "ana")
	}
	count, err := w.EndOtherSessions(t.Context(), subject)
	require.NoError(t, err)
	require.Equal(t, 3, count)
	_, err = w.BySession(t.Context(), token)
	require.NoError(t, err)
	list, err := w.Sessions(t.Context(), subject.Person.ID)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, subject.SessionID, list[0].ID)
	require.Equal(t, "192.0.2.1", list[0].Address)
	require.Equal(t, "Firefox", list[0].UserAgent)
}

func TestSessions_AreBoundedForEachPerson(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	first, _ := w.signIn(t, "ana")
	_, err := w.BySession(t.Context(), first)
	require.NoError(t, err)
	for range 50 {
		w.wait(time.Second)
		w.signIn(t, "ana")
	}
	list, err := w.Sessions(t.Context(), ana.ID)
	require.NoError(t, err)
	require.Len(t, list, 50)
	_, err = w.BySession(t.Context(), first)
	requireKind(t, fault.Unauthenticated, err)
}

func TestSessions_TakesStrangersWordsInMeasure(t *testing.T) {
	w := newWorld(t)
	ana := w.person(t, "ana", identity.RoleMember)
	for _, agent := range []string{strings.Repeat("x", 10_000), "\xff\xfe", strings.Repeat("ä", 300)} {
		_, _, err := w.SignIn(t.Context(), "ana", secret.New(password), identity.Origin{Address: strings.Repeat("9", 1000), UserAgent: agent})
		require.NoError(t, err)
	}
	list, err := w.Sessions(t.Context(), ana.ID)
	require.NoError(t, err)
	for _, one := range list {
		require.LessOrEqual(t, len(one.UserAgent), 256)
		require.LessOrEqual(t, len(one.Address), 64)
	}
}

// TestRevocation_IsNeverUndoneByALookupInFlight hammers lookups while sessions
// end: once EndSession has returned, no lookup that begins later may succeed.
func TestRevocation_IsNeverUndoneByALookupInFlight(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	for range 30 {
		token, subject := w.signIn(t, "ana")
		revoked := make(chan struct{})
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() {
				for {
					after := false
					select {
					case <-revoked:
						after = true
					default:
					}
					_, err := w.BySession(t.Context(), token)
					if after {
						if fault.KindOf(err) != fault.Unauthenticated {
							t.Error("a revoked session was let in: ", err)
						}
						return
					}
				}
			})
		}
		require.NoError(t, w.SignOut(t.Context(), subject))
		close(revoked)
		work.Wait()
		_, err := w.BySession(t.Context(), token)
		requireKind(t, fault.Unauthenticated, err)
	}
}

func BenchmarkBySession(b *testing.B) {
	w := newWorld(b)
	var tokens []secret.Text
	for i := range 100 {
		name := fmt.Sprint("person", i)
		w.person(b, name, identity.RoleMember)
		token, _ := w.signIn(b, name)
		tokens = append(tokens, token)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := w.BySession(b.Context(), tokens[i%len(tokens)]); err != nil {
				b.Error(err)
			}
		}
	})
}
