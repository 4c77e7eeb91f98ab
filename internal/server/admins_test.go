package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/vault"
)

// whoAdministers lists their names.
func whoAdministers(t *testing.T, s *Server) string {
	t.Helper()
	all, err := s.identity.Administrators(t.Context())
	require.NoError(t, err)
	names := make([]string, len(all.People))
	for i, p := range all.People {
		names[i] = p.Username
	}
	return strings.Join(names, " ")
}

func addPeople(t *testing.T, s *Server) {
	t.Helper()
	const password = "long enough for a test"
	for i, name := range []string{"root", "ana", "bo"} {
		role := identity.RoleMember
		if i == 0 {
			role = identity.RoleAdministrator
		}
		_, err := s.identity.CreatePerson(t.Context(), "test", identity.Person{Username: name, Role: role}, secret.New(password))
		require.NoError(t, err)
	}
}

func TestAdmins_OfTheSlotAndOfTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admins")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }

	t.Run("slot", func(t *testing.T) {
		s := newServer(t)
		addPeople(t, s)
		set := func(text string) error {
			_, err := s.vault.Set(t.Context(), "root", vault.AdminsContext, vault.AdminsName, secret.New(text))
			return err
		}
		require.NoError(t, set("local:ana"))
		require.Equal(t, "ana root", whoAdministers(t, s))
		for text, says := range map[string]string{
			"local:bo, ana": `has "ana", which does not say at which provider`, "githb:bo": `has "githb:bo", and there is no provider named "githb"`,
		} {
			err := set(text)
			require.Equal(t, fault.BadInput, fault.KindOf(err))
			require.Equal(t, "value", fault.FieldsOf(err)[0].Name)
			require.Contains(t, fault.FieldsOf(err)[0].Message, says)
			require.Equal(t, "ana root", whoAdministers(t, s), "the list of before stays")
		}
		kept, err := s.vault.Get(t.Context(), vault.AdminsContext, vault.AdminsName)
		require.NoError(t, err)
		require.Equal(t, "local:ana", kept.Reveal())
		require.NoError(t, s.takeAdmins(t.Context()), "as at a start")
		require.Equal(t, "ana root", whoAdministers(t, s))
		require.NoError(t, s.vault.Remove(t.Context(), "root", vault.AdminsContext, vault.AdminsName))
		require.Equal(t, "root", whoAdministers(t, s))
	})

	t.Run("file", func(t *testing.T) {
		write("# the crew\nlocal:ana\n")
		s := newServer(t, "BERTH_ADMINS_FILE="+file)
		addPeople(t, s)
		require.Equal(t, "ana root", whoAdministers(t, s))
		ctx, cancel := context.WithCancel(t.Context())
		var watching errgroup.Group
		watching.Go(func() error { return s.watchAdmins(ctx) })
		t.Cleanup(func() {
			cancel()
			require.NoError(t, watching.Wait())
		})
		becomes := func(names string) {
			require.Eventually(t, func() bool { return whoAdministers(t, s) == names }, 20*time.Second, 50*time.Millisecond, names)
		}
		write("local:bo\n")
		becomes("bo root")
		write("local:bo\nana\n")
		require.Eventually(t, func() bool { return strings.Contains(s.adminsFrom().Problem, `has "ana"`) }, 20*time.Second, 50*time.Millisecond)
		require.Equal(t, "bo root", whoAdministers(t, s), "the list of before stays")
		write("local:ana\n")
		becomes("ana root")
		require.NoError(t, os.Remove(file))
		require.Eventually(t, func() bool { return s.adminsFrom().Problem != "" }, 20*time.Second, 50*time.Millisecond)
		require.Equal(t, "ana root", whoAdministers(t, s))

		_, err := s.vault.Set(t.Context(), "root", vault.AdminsContext, vault.AdminsName, secret.New("local:bo"))
		require.Equal(t, fault.Clash, fault.KindOf(err))
		require.ErrorContains(t, err, "BERTH_ADMINS says who administers, set by "+file)
	})
}
