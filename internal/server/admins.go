package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"berth/internal/api"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/settings"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

// admins follows the list of those who administer: of the settings where
// these have one, else of the vault's slot.
type admins struct {
	mu      sync.Mutex
	problem string // why what the file has by now is not in force; "" when it is
}

// adminsEvery is how often the file behind BERTH_ADMINS_FILE is read again.
const adminsEvery = 2 * time.Second

// takeAdmins has the list say who administers, before anything is served, and
// from then on whenever the slot is set or removed.
func (s *Server) takeAdmins(ctx context.Context) error {
	if len(s.settings.Admins) > 0 {
		return s.useAdmins(ctx, s.settings.Admins)
	}
	text, err := s.vault.Get(ctx, vault.AdminsContext, vault.AdminsName)
	if fault.KindOf(err) == fault.Missing {
		return s.useAdmins(ctx, nil)
	}
	if err != nil {
		return err
	}
	list, err := settings.ParseAdmins(text.Reveal())
	if err != nil {
		// Nothing sets such a slot; one of before stays without effect.
		s.refuseAdmins(ctx, fmt.Errorf("the secret %s/%s %w", vault.AdminsContext, vault.AdminsName, err))
		return nil
	}
	return s.useAdmins(ctx, list)
}

func (s *Server) useAdmins(ctx context.Context, list []settings.Admin) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := s.signin.KnowsProviders(ctx, tx, list); err != nil {
			s.log.WarnContext(ctx, "the list of administrators names a provider that is not set up", "error", err)
		}
		return s.identity.UseAdministrators(ctx, tx, "berth", list)
	})
}

// guardAdmins takes over what the slot is set to, in the same transaction, or
// refuses it.
func (s *Server) guardAdmins(ctx context.Context, tx *sqlite.Tx, actor string, value secret.Text) error {
	if source := s.settings.AdminsSource(); source != "" {
		if value.Empty() {
			return nil // it counts for nothing
		}
		return fault.Conflict("BERTH_ADMINS says who administers, set by %s: change it there", source)
	}
	if value.Empty() {
		s.admitAdmins(tx)
		return s.identity.UseAdministrators(ctx, tx, actor, nil)
	}
	list, err := settings.ParseAdmins(value.Reveal())
	if err == nil {
		err = s.signin.KnowsProviders(ctx, tx, list)
	}
	if err != nil {
		return fault.InvalidFields([]fault.Field{{Name: "value", Message: err.Error()}})
	}
	s.admitAdmins(tx)
	return s.identity.UseAdministrators(ctx, tx, actor, list)
}

// watchAdmins reads the file behind BERTH_ADMINS_FILE again and again, until
// ctx ends. What is wrong in it leaves the list as it was.
func (s *Server) watchAdmins(ctx context.Context) error {
	if s.settings.AdminsFile() == "" {
		return nil
	}
	tick := time.NewTicker(adminsEvery)
	defer tick.Stop()
	have := s.settings.Admins
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		list, err := s.settings.ReadAdmins()
		if err == nil && !slices.Equal(list, have) {
			if err = s.useAdmins(ctx, list); err == nil {
				have = list
				s.log.InfoContext(ctx, "the list of administrators was read again", "entries", len(list))
			}
		}
		s.refuseAdmins(ctx, err)
	}
}

// refuseAdmins notes why a list is not in force, and logs it once.
func (s *Server) refuseAdmins(ctx context.Context, err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	s.admins.mu.Lock()
	news := problem != s.admins.problem
	s.admins.problem = problem
	s.admins.mu.Unlock()
	if news && err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "the list of administrators stays as it was", "error", err)
	}
}

// admitAdmins forgets, with tx, why a list was not in force.
func (s *Server) admitAdmins(tx *sqlite.Tx) {
	tx.OnCommit(func() {
		s.admins.mu.Lock()
		defer s.admins.mu.Unlock()
		s.admins.problem = ""
	})
}

// adminsFrom says where the list comes from.
func (s *Server) adminsFrom() api.AdminsFrom {
	s.admins.mu.Lock()
	defer s.admins.mu.Unlock()
	return api.AdminsFrom{Settings: s.settings.AdminsSource(), Problem: s.admins.problem}
}
