package signin

import (
	"context"
	"fmt"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/sqlite"
)

// Mode is how people sign in, and what comes of it now.
type Mode struct {
	identity.SignInMode
	Straight bool `json:"straight" doc:"Whether people are led there now: not while the provider is switched off or there is nobody yet, which shows the page"`
}

// Mode says how people sign in.
func (s *Service) Mode(ctx context.Context) (mode Mode, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		mode, err = s.mode(ctx, tx)
		return err
	})
	return mode, err
}

func (s *Service) mode(ctx context.Context, tx *sqlite.Tx) (mode Mode, err error) {
	if mode.SignInMode, err = s.identity.SignInMode(ctx, tx); err != nil || mode.StraightTo == "" {
		return mode, err
	}
	p, err := findProvider(ctx, tx, mode.StraightTo)
	if err != nil {
		return mode, err
	}
	needed, err := s.identity.NeedsSetupIn(ctx, tx)
	mode.Straight = p.Enabled && !needed
	return mode, err
}

// ModeLeavesOut says who would have no way in left were these the passwords that
// sign in.
func (s *Service) ModeLeavesOut(ctx context.Context, then identity.Passwords) (left identity.LeftOut, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		left, err = s.identity.LeftOutByPasswords(ctx, tx, then)
		return err
	})
	return left, err
}

// SetMode has people sign in in another way, over the version that was seen.
// Where people would have no way in left it is a conflict, unless that is forced.
func (s *Service) SetMode(ctx context.Context, actor identity.Subject, want identity.SignInMode, force bool) (mode Mode, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		mode, err = s.SetModeIn(ctx, tx, actor, want, force)
		return err
	})
	return mode, err
}

// SetModeIn is SetMode as a part of a transaction.
func (s *Service) SetModeIn(ctx context.Context, tx *sqlite.Tx, actor identity.Subject, want identity.SignInMode, force bool) (Mode, error) {
	if want.StraightTo != "" {
		_, err := findProvider(ctx, tx, want.StraightTo)
		if fault.KindOf(err) == fault.Missing {
			err = fault.InvalidFields([]fault.Field{{Name: "straight_to", Message: fmt.Sprintf("there is no provider named %q", want.StraightTo)}})
		}
		if err != nil {
			return Mode{}, err
		}
	}
	left, err := s.identity.LeftOutByPasswords(ctx, tx, want.Passwords)
	if err != nil {
		return Mode{}, err
	}
	if err := left.Meant(force, identity.OtherWayFirst); err != nil {
		return Mode{}, err
	}
	if err := s.identity.UseSignInMode(ctx, tx, actor, want, left.People); err != nil {
		return Mode{}, err
	}
	return s.mode(ctx, tx)
}

// StraightTo gives the provider to which people are led without the sign-in
// page; "" for the page, also while the provider is switched off, or there is
// nobody yet.
func (s *Service) StraightTo(ctx context.Context) (string, error) {
	mode, err := s.Mode(ctx)
	if err != nil || !mode.Straight {
		return "", err
	}
	return mode.StraightTo, nil
}
