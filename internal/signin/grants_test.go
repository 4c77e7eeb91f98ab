package signin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/signin"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// granted signs somebody in at the provider named home, and gives the identity
// that Berth holds tokens of.
func (r *rig) granted(subject string) (b *browser, identityID string) {
	r.t.Helper()
	b = r.browser(subject)
	b.signIn("home")
	who := b.subject()
	require.NotNil(r.t, who)
	return b, who.IdentityID
}

// renewals counts what was asked of the token endpoint with a refresh token.
func (i *issuer) renewals() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, asked := range i.asked {
		if asked.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

func (r *rig) kinds(kind event.Kind) []event.Event {
	r.t.Helper()
	found, err := r.events.Since(r.t.Context(), 0, event.Filter{Kinds: []event.Kind{kind}}, 50)
	require.NoError(r.t, err)
	return found
}

func TestBearer_IsRefreshedAMinuteBeforeItsEnd(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	_, id := r.granted("1001")
	first, err := r.kept.Bearer(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, r.kept.last[id].Access.Reveal(), first.Token.Reveal())
	require.Equal(t, "home", first.Provider)
	require.Zero(t, i.renewals(), "a token with 90 seconds left was refreshed")

	r.move(31 * time.Second)
	second, err := r.kept.Bearer(t.Context(), id)
	require.NoError(t, err)
	require.False(t, second.Token.Equal(first.Token))
	require.Equal(t, 1, i.renewals())

	// What was given is kept: another process has it, and refreshes with it.
	again, err := r.grants().Bearer(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 2, i.renewals(), "the clock is still ahead")
	require.False(t, again.Token.Equal(second.Token))
}

func TestBearer_OfFiftyAtOnceIsAskedForOnce(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	_, id := r.granted("1001")
	r.move(2 * time.Minute) // it has expired
	i.lifetime = time.Hour
	i.renewing = func() { time.Sleep(5 * time.Second) } // an endpoint that takes its time
	processes := []*vault.Grants{r.kept.Grants, r.grants()}
	tokens := make([]string, 50)
	var all sync.WaitGroup
	for n := range tokens {
		all.Go(func() {
			b, err := processes[n%len(processes)].Bearer(t.Context(), id)
			if err != nil {
				t.Error(err)
				return
			}
			tokens[n] = b.Token.Reveal()
		})
	}
	all.Wait()
	require.Equal(t, 1, i.renewals())
	for _, token := range tokens {
		require.NotEmpty(t, token)
		require.Equal(t, tokens[0], token)
	}
}

func TestBearer_OutlivesWhoAskedFirst(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	_, id := r.granted("1001")
	r.move(time.Minute)
	asked, goOn := make(chan struct{}), make(chan struct{})
	i.renewing = func() { close(asked); <-goOn }
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := r.kept.Bearer(ctx, id); left <- err }()
	<-asked
	leave()
	require.ErrorIs(t, <-left, context.Canceled)
	i.lifetime = time.Hour
	close(goOn)
	_, err := r.kept.Bearer(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 1, i.renewals(), "what was asked for is lost with who asked")
}

func TestBearer_EndsWithTheGrantAndAsksForASignIn(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b, id := r.granted("1001")
	i.spent[r.kept.last[id].Refresh.Reveal()] = true // somebody else has used it
	r.move(time.Minute)
	for range 3 {
		_, err := r.kept.Bearer(t.Context(), id)
		require.ErrorIs(t, err, vault.ErrGrantEnded)
		require.Equal(t, fault.NotProved, fault.KindOf(err))
		require.Contains(t, fault.Message(err), "sign in at the provider again")
	}
	require.Equal(t, 1, i.renewals(), "it was asked again")
	require.Len(t, r.kinds(vault.GrantEnded), 1)
	known, err := r.kept.Of(t.Context(), id)
	require.NoError(t, err)
	require.NotEmpty(t, known[id].Ended)
	require.False(t, known[id].Renewable)

	b.signIn("home")
	_, err = r.kept.Bearer(t.Context(), id)
	require.NoError(t, err, "a new sign-in begins a new grant")
}

func TestBearer_MakesDoWithTheOldOneWhileTheProviderIsAway(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	_, id := r.granted("1001")
	i.away = true
	r.move(40 * time.Second)
	old, err := r.kept.Bearer(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, r.kept.last[id].Access.Reveal(), old.Token.Reveal())

	r.move(time.Minute) // it has expired by now
	_, err = r.kept.Bearer(t.Context(), id)
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	require.Positive(t, fault.RetryAfter(err))
	require.NotErrorIs(t, err, vault.ErrGrantEnded)

	// For a few seconds nothing is asked, and then it is.
	i.away = false
	_, err = r.kept.Bearer(t.Context(), id)
	require.Equal(t, fault.NotNow, fault.KindOf(err))
	r.move(10 * time.Second)
	_, err = r.kept.Bearer(t.Context(), id)
	require.NoError(t, err)
}

func TestBearer_IsNoOtherProvidersAndNobodyElses(t *testing.T) {
	r, i, other := newRig(t), newIssuer(t), newIssuer(t)
	p := r.provider("home", i)
	_, ana := r.granted("1001")
	_, bo := r.granted("1002")
	sql := func(query string, args ...any) {
		t.Helper()
		require.NoError(t, r.db.Write(t.Context(), func(tx *sqlite.Tx) error {
			_, err := tx.ExecContext(t.Context(), query, args...)
			return err
		}))
	}

	// Bo's tokens in Ana's slot.
	sql(`UPDATE grants SET sealed = (SELECT sealed FROM grants WHERE identity_id = ?) WHERE identity_id = ?`, bo, ana)
	_, err := r.kept.Bearer(t.Context(), ana)
	require.ErrorIs(t, err, vault.ErrGrantEnded)
	// An earlier version's, put back.
	sql(`UPDATE grants SET version = version + 1 WHERE identity_id = ?`, bo)
	_, err = r.kept.Bearer(t.Context(), bo)
	require.ErrorIs(t, err, vault.ErrGrantEnded)
	sql(`UPDATE grants SET version = version - 1 WHERE identity_id = ?`, bo)
	_, err = r.kept.Bearer(t.Context(), bo)
	require.NoError(t, err)

	// The provider is another client's now, and then another provider.
	client := "another client"
	p, err = r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{ClientID: &client})
	require.NoError(t, err)
	_, err = r.kept.Bearer(t.Context(), bo)
	require.ErrorIs(t, err, vault.ErrGrantEnded)
	client = clientID
	given := secret.New(clientSecret)
	_, err = r.Update(t.Context(), "ana", "home", p.Version, signin.ProviderEdit{ClientID: &client, ClientSecret: given, Issuer: &other.name, Force: true})
	require.NoError(t, err)
	r.move(2 * time.Minute)
	_, err = r.kept.Bearer(t.Context(), bo)
	require.ErrorIs(t, err, vault.ErrGrantEnded)
	require.Empty(t, other.asked, "tokens of one provider were sent to another")
	require.Zero(t, i.renewals())
}

func TestBearer_IsThatOfTheNewestSignIn(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	b, id := r.granted("1001")
	r.move(time.Minute)
	asked, goOn := make(chan struct{}), make(chan struct{})
	i.renewing = func() { close(asked); <-goOn }
	got := make(chan vault.Bearer, 1)
	go func() {
		b, err := r.kept.Bearer(t.Context(), id)
		if err != nil {
			t.Error(err)
		}
		got <- b
	}()
	<-asked
	i.lifetime = time.Hour
	b.signIn("home")
	signedIn := r.kept.last[id].Access.Reveal()
	close(goOn)
	require.Equal(t, signedIn, (<-got).Token.Reveal())
	now, err := r.kept.Bearer(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, signedIn, now.Token.Reveal())
}

func TestBearer_KeepsARefreshTokenThatIsGivenOnce(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	i.once = true
	r.provider("home", i)
	b, id := r.granted("1001")
	b.signIn("home")
	require.True(t, r.kept.last[id].Refresh.Empty())
	r.move(time.Minute)
	_, err := r.kept.Bearer(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 1, i.renewals())
}

// dying gives up in the midst of a refresh, as a process does that is killed.
type dying struct {
	*signin.Service

	before bool // or after the provider has answered
	end    chan struct{}
}

var errKilled = errors.New("killed")

func (d dying) Refresh(ctx context.Context, t vault.Tokens, _ func(vault.Tokens) error) error {
	if !d.before {
		_ = d.Service.Refresh(ctx, t, func(vault.Tokens) error { return errKilled })
	}
	<-d.end // nobody lets the claim go
	return errKilled
}

func TestBearer_RecoversFromADeathAroundARefresh(t *testing.T) {
	for name, before := range map[string]bool{"before the provider answered": true, "after": false} {
		t.Run(name, func(t *testing.T) {
			r, i := newRig(t), newIssuer(t)
			r.provider("home", i)
			_, id := r.granted("1001")
			r.move(2 * time.Minute)
			i.lifetime = time.Hour
			end := make(chan struct{})
			t.Cleanup(func() { close(end) })
			dead, err := vault.NewGrants(t.Context(), vault.GrantsConfig{
				DB: r.db, Events: r.events, Key: key, Clock: r.now,
				Providers: func() vault.Providers { return dying{r.Service, before, end} },
			})
			require.NoError(t, err)
			go func() { _, _ = dead.Bearer(t.Context(), id) }()
			require.Eventually(t, func() bool {
				var claimed int
				return r.db.Read(t.Context(), func(tx *sqlite.Tx) error {
					return tx.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM grants WHERE claimed_at IS NOT NULL`).Scan(&claimed)
				}) == nil && claimed == 1 && (before || i.renewals() == 1)
			}, 10*time.Second, 10*time.Millisecond)

			next := r.grants() // Berth starts again
			b, err := next.Bearer(t.Context(), id)
			if before {
				require.NoError(t, err)
				require.False(t, b.Token.Empty())
				return
			}
			require.ErrorIs(t, err, vault.ErrGrantEnded) // the provider gave them, and nobody has them
			_, err = next.Bearer(t.Context(), id)
			require.ErrorIs(t, err, vault.ErrGrantEnded)
			require.Equal(t, 2, i.renewals(), "it was asked in a loop")
		})
	}
}

func TestGrants_AreSealedAndGoWithTheirIdentity(t *testing.T) {
	r, i := newRig(t), newIssuer(t)
	r.provider("home", i)
	_, id := r.granted("1001")
	kept := r.kept.last[id]
	require.NoError(t, r.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		var name string
		require.NoError(t, tx.QueryRowContext(t.Context(), `SELECT name FROM grants WHERE identity_id = ?`, id).Scan(&name))
		require.Equal(t, "fe675fe7aaee830b", name, "the first 16 hex digits of SHA-256 of 1001") // printf 1001 | sha256sum
		return nil
	}))
	copied := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, r.db.CopyTo(t.Context(), copied))
	raw, err := os.ReadFile(copied)
	require.NoError(t, err)
	for _, token := range []secret.Text{kept.Access, kept.Refresh} {
		require.NotContains(t, string(raw), token.Reveal())
	}

	require.NoError(t, r.kept.Forget(t.Context(), "ana", id))
	_, err = r.kept.Bearer(t.Context(), id)
	require.ErrorIs(t, err, vault.ErrGrantEnded)
	require.Equal(t, fault.Missing, fault.KindOf(r.kept.Forget(t.Context(), "ana", id)))
	require.Len(t, r.kinds(vault.GrantForgotten), 1)

	_, bo := r.granted("1002")
	require.NoError(t, r.Remove(t.Context(), "ana", "home", true))
	known, err := r.kept.Of(t.Context(), id, bo)
	require.NoError(t, err)
	require.Empty(t, known, "tokens stay of a provider that is gone")
}
