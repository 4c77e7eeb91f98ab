package identity_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

func TestSetupLink_MakesTheFirstAdministratorOnce(t *testing.T) {
	w := newWorld(t)
	needed, err := w.NeedsSetup(t.Context())
	require.NoError(t, err)
	require.True(t, needed)
	earlier, err := w.SetupLink(t.Context())
	require.NoError(t, err)
	link, err := w.SetupLink(t.Context())
	require.NoError(t, err)

	for _, wrong := range []secret.Text{{}, secret.New("x"), earlier} {
		_, _, err := w.UseSetupLink(t.Context(), wrong, "root", secret.New(password), home)
		requireKind(t, fault.Denied, err)
	}
	_, _, err = w.UseSetupLink(t.Context(), link, "root", secret.New("short"), home)
	requireKind(t, fault.BadInput, err)

	token, subject, err := w.UseSetupLink(t.Context(), link, "root", secret.New(password), home)
	require.NoError(t, err, "a mistake in the form uses nothing up")
	require.Equal(t, identity.RoleAdministrator, subject.Person.Role)
	by, err := w.BySession(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, subject, by)

	_, _, err = w.UseSetupLink(t.Context(), link, "second", secret.New(password), home)
	requireKind(t, fault.Clash, err)
	_, err = w.SetupLink(t.Context())
	requireKind(t, fault.Clash, err)
	needed, err = w.NeedsSetup(t.Context())
	require.NoError(t, err)
	require.False(t, needed)
}

func TestSetupLink_EndsAfterADay(t *testing.T) {
	w := newWorld(t)
	link, err := w.SetupLink(t.Context())
	require.NoError(t, err)
	w.wait(24 * time.Hour)
	_, _, err = w.UseSetupLink(t.Context(), link, "root", secret.New(password), home)
	requireKind(t, fault.Denied, err)
}

func TestSetupLink_IsKeptAsAHash(t *testing.T) {
	w := newWorld(t)
	link, err := w.SetupLink(t.Context())
	require.NoError(t, err)
	require.NoError(t, w.db.Read(t.Context(), func(tx *sqlite.Tx) error {
		var hash []byte
		err := tx.QueryRowContext(t.Context(), "SELECT token_hash FROM setup_links").Scan(&hash)
		require.Len(t, hash, 32)
		require.NotContains(t, string(hash), link.Reveal())
		return err
	}))
}

func TestSetupLink_LetsOneInWhenManyTry(t *testing.T) {
	w := newWorld(t)
	link, err := w.SetupLink(t.Context())
	require.NoError(t, err)
	var made atomic.Int32
	var work sync.WaitGroup
	for _, username := range []string{"a", "b", "c", "d"} {
		work.Go(func() {
			if _, _, err := w.UseSetupLink(t.Context(), link, username, secret.New(password), home); err == nil {
				made.Add(1)
			}
		})
	}
	work.Wait()
	require.EqualValues(t, 1, made.Load())
	people, _, err := w.People(t.Context(), "", 0)
	require.NoError(t, err)
	require.Len(t, people, 1)
}

func TestEnsureAdministrator_MakesOneOnlyWhereThereIsNobody(t *testing.T) {
	w := newWorld(t)
	link, err := w.SetupLink(t.Context())
	require.NoError(t, err)
	requireKind(t, fault.BadInput, w.EnsureAdministrator(t.Context(), "admin", secret.New("short")))
	require.NoError(t, w.EnsureAdministrator(t.Context(), "admin", secret.New(password)))
	require.NoError(t, w.EnsureAdministrator(t.Context(), "admin", secret.New("another password")))
	require.NoError(t, w.EnsureAdministrator(t.Context(), "another", secret.New("another password")))
	_, subject := w.signIn(t, "admin")
	require.Equal(t, identity.RoleAdministrator, subject.Person.Role)
	people, _, err := w.People(t.Context(), "", 0)
	require.NoError(t, err)
	require.Len(t, people, 1)
	_, _, err = w.UseSetupLink(t.Context(), link, "root", secret.New(password), home)
	requireKind(t, fault.Clash, err)
}
