package identity_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// inBubble runs f with a running service, in time that passes by itself.
func inBubble(t *testing.T, f func(t *testing.T, w *world, stop func() error)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		require.NoError(t, err)
		w := &world{db: db, events: event.New(event.Config{DB: db})}
		w.Service, err = identity.New(identity.Config{DB: db, Events: w.events, PasswordCost: bcrypt.MinCost})
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- w.Run(ctx) }()
		stopped := false
		stop := func() error {
			if stopped {
				return nil
			}
			stopped = true
			cancel()
			return <-ran
		}
		f(t, w, stop)
		require.NoError(t, stop())
		require.NoError(t, db.Close())
	})
}

// stored reads when a session was last seen from the store alone.
func stored(t *testing.T, w *world, id string) time.Time {
	t.Helper()
	var seen int64
	require.NoError(t, w.db.Read(t.Context(), func(tx *sqlite.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT last_seen_at FROM sessions WHERE id = ?", id).Scan(&seen)
	}))
	return sqlite.Time(seen)
}

func TestRun_WritesDownWhoWasSeen(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, stop func() error) {
		t.Helper()
		w.person(t, "ana", identity.RoleMember)
		token, subject := w.signIn(t, "ana")
		api, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, time.Time{})
		require.NoError(t, err)
		began := stored(t, w, subject.SessionID)

		time.Sleep(5*time.Minute + 10*time.Second)
		_, err = w.BySession(t.Context(), token)
		require.NoError(t, err)
		_, err = w.ByToken(t.Context(), api)
		require.NoError(t, err)
		used := time.Now().UTC().Truncate(time.Millisecond)
		require.Equal(t, began, stored(t, w, subject.SessionID), "the request wrote nothing")
		list, err := w.Sessions(t.Context(), subject.Person.ID)
		require.NoError(t, err)
		require.Equal(t, used, list[0].LastSeenAt, "and yet it shows")

		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, used, stored(t, w, subject.SessionID))
		tokens, err := w.Tokens(t.Context(), subject.Person.ID)
		require.NoError(t, err)
		require.Equal(t, used, *tokens[0].LastUsedAt)

		time.Sleep(31 * time.Second)
		_, err = w.BySession(t.Context(), token)
		require.NoError(t, err)
		require.NoError(t, stop())
		require.Equal(t, time.Now().UTC().Truncate(time.Millisecond), stored(t, w, subject.SessionID), "the last of it at the end")
	})
}

func TestRun_SweepsWhatHasExpired(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, _ func() error) {
		t.Helper()
		ana := w.person(t, "ana", identity.RoleMember)
		_, subject := w.signIn(t, "ana")
		_, _, err := w.CreateToken(t.Context(), subject, "short", identity.ScopeRead, time.Now().Add(time.Hour))
		require.NoError(t, err)
		_, kept, err := w.CreateToken(t.Context(), subject, "for ever", identity.ScopeRead, time.Time{})
		require.NoError(t, err)

		time.Sleep(8 * 24 * time.Hour)
		synctest.Wait()
		sessions := w.happened(t, identity.SessionEnded)
		require.Len(t, sessions, 1)
		require.Equal(t, "expired", about(t, sessions[0], "why"))
		tokens, err := w.Tokens(t.Context(), ana.ID)
		require.NoError(t, err)
		require.Len(t, tokens, 2, "it shows for a while that it has expired")

		time.Sleep(31 * 24 * time.Hour)
		synctest.Wait()
		tokens, err = w.Tokens(t.Context(), ana.ID)
		require.NoError(t, err)
		require.Len(t, tokens, 1)
		require.Equal(t, kept.ID, tokens[0].ID)
	})
}

func TestHold_EndsWithItsProof(t *testing.T) {
	for name, end := range map[string]func(w *world, s identity.Subject) error{
		"signed out": func(w *world, s identity.Subject) error { return w.SignOut(t.Context(), s) },
		"disabled": func(w *world, s identity.Subject) error {
			_, err := w.UpdatePerson(t.Context(), "root", "ana", 1, identity.PersonEdit{Disabled: new(true)})
			return err
		},
		"another role": func(w *world, s identity.Subject) error {
			_, err := w.UpdatePerson(t.Context(), "root", "ana", 1, identity.PersonEdit{Role: new(identity.RoleAdministrator)})
			return err
		},
		"new password": func(w *world, s identity.Subject) error {
			return w.SetPassword(t.Context(), "root", "ana", secret.New("another password"))
		},
		"removed": func(w *world, s identity.Subject) error { return w.RemovePerson(t.Context(), "root", "ana") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.person(t, "ana", identity.RoleMember)
			w.person(t, "bob", identity.RoleMember)
			_, ana := w.signIn(t, "ana")
			_, bob := w.signIn(t, "bob")
			held, release := w.Hold(t.Context(), ana)
			defer release()
			others, releaseOther := w.Hold(t.Context(), bob)
			defer releaseOther()
			require.NoError(t, held.Err())
			require.NoError(t, end(w, ana))
			require.Error(t, held.Err())
			require.NoError(t, others.Err())
		})
	}
}

func TestHold_NeverBeginsForWhatHasEnded(t *testing.T) {
	w := newWorld(t)
	w.person(t, "ana", identity.RoleMember)
	_, subject := w.signIn(t, "ana")
	require.NoError(t, w.SignOut(t.Context(), subject))
	held, release := w.Hold(t.Context(), subject)
	defer release()
	require.Error(t, held.Err())
	local, releaseLocal := w.Hold(t.Context(), identity.Local())
	require.NoError(t, local.Err())
	releaseLocal()
	require.Error(t, local.Err())
}

func TestHold_EndsAtTheTokensExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, _ func() error) {
		t.Helper()
		w.person(t, "ana", identity.RoleMember)
		_, subject := w.signIn(t, "ana")
		api, _, err := w.CreateToken(t.Context(), subject, "ci", identity.ScopeRead, time.Now().Add(time.Hour))
		require.NoError(t, err)
		by, err := w.ByToken(t.Context(), api)
		require.NoError(t, err)
		held, release := w.Hold(t.Context(), by)
		defer release()
		time.Sleep(time.Hour - time.Second)
		require.NoError(t, held.Err())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Error(t, held.Err())
		_, err = w.ByToken(t.Context(), api)
		requireKind(t, fault.Unauthenticated, err)
	})
}
