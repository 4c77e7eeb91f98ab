package identity

import (
	"context"
	"slices"
	"time"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// SignInModeChanged is that people sign in in another way than before.
const SignInModeChanged event.Kind = "signin.mode_changed"

// Passwords says whose passwords sign in.
type Passwords string

// Whose passwords sign in. Administrators here are those who administer with an
// account of Berth's own: what a provider says makes nobody one of them.
const (
	PasswordsOfEverybody      Passwords = "everybody"
	PasswordsOfAdministrators Passwords = "administrators"
)

func (w Passwords) String() string { return string(w) }

func (w Passwords) of(p Person) bool {
	return w != PasswordsOfAdministrators || p.Local && p.Role == RoleAdministrator
}

// SignInMode is how people sign in.
type SignInMode struct {
	Passwords  Passwords `json:"passwords" enum:"everybody,administrators" doc:"Whose passwords sign in: everybody's, or those of administrators with an account of Berth's own"`
	StraightTo string    `json:"straight_to" doc:"The provider to which people are led without the sign-in page; empty for the page"`
	Version    int64     `json:"version"`
	UpdatedAt  time.Time `json:"updated_at,omitzero"`
}

// SignInMode says, in tx, how people sign in.
func (s *Service) SignInMode(ctx context.Context, tx *sqlite.Tx) (SignInMode, error) {
	return selectSignInMode(ctx, tx)
}

// TakesPassword says, in tx, whether the mode lets somebody sign in with a
// password. One that does not sign in proves nothing anywhere.
func (s *Service) TakesPassword(ctx context.Context, tx *sqlite.Tx, p Person) (bool, error) {
	mode, err := selectSignInMode(ctx, tx)
	return mode.Passwords.of(p), err
}

// MayHavePassword is TakesPassword in a transaction of its own.
func (s *Service) MayHavePassword(ctx context.Context, p Person) (may bool, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		may, err = s.TakesPassword(ctx, tx, p)
		return err
	})
	return may, err
}

// UseSignInMode has people sign in, in tx, in another way, over the version that
// was seen; leftOut is how many have no way in left by it, for the event.
// Sessions stay, of whomever. It is refused where no administrator is left to
// sign in with a password.
func (s *Service) UseSignInMode(ctx context.Context, tx *sqlite.Tx, actor Subject, want SignInMode, leftOut int) error {
	if err := Decide(&actor, ActionAdminister, On{}); err != nil {
		return err
	}
	if want.Passwords != PasswordsOfEverybody && want.Passwords != PasswordsOfAdministrators {
		return fault.InvalidFields([]fault.Field{{Name: "passwords", Message: "is everybody or administrators"}})
	}
	before, err := selectSignInMode(ctx, tx)
	switch {
	case err != nil:
		return err
	case before.Version != want.Version:
		return fault.Conflict("the sign-in mode was changed meanwhile; look at it again")
	}
	if err := mayLimitPasswords(ctx, tx, want.Passwords); err != nil {
		return err
	}
	return s.storeSignInMode(ctx, tx, actor.Person.Username, before, want, leftOut)
}

// LeadNoMoreTo has nobody be led, in tx, to a provider that is about to be
// removed.
func (s *Service) LeadNoMoreTo(ctx context.Context, tx *sqlite.Tx, actor, provider string) error {
	before, err := selectSignInMode(ctx, tx)
	if err != nil || before.StraightTo != provider {
		return err
	}
	want := before
	want.StraightTo = ""
	return s.storeSignInMode(ctx, tx, actor, before, want, 0)
}

func (s *Service) storeSignInMode(ctx context.Context, tx *sqlite.Tx, actor string, before, want SignInMode, leftOut int) error {
	want.Version, want.UpdatedAt = before.Version+1, s.now()
	if err := updateSignInMode(ctx, tx, want); err != nil {
		return err
	}
	tx.OnCommit(s.proofs.clear)
	return s.record(ctx, tx, SignInModeChanged, actor, aboutSignInMode{
		Passwords: want.Passwords, StraightTo: want.StraightTo,
		PasswordsBefore: before.Passwords, StraightToBefore: before.StraightTo, LeftOut: leftOut,
	})
}

// mayLimitPasswords refuses what leaves nobody to administer whatever becomes of
// every provider. It counts those whom the guards keep, and so not whom a list
// alone names. Where there is nobody yet, the first one made has to be one.
func mayLimitPasswords(ctx context.Context, tx *sqlite.Tx, to Passwords) error {
	if to == PasswordsOfEverybody {
		return nil
	}
	anybody, err := anyPerson(ctx, tx)
	if err != nil || !anybody {
		return err
	}
	can, err := countAdministrators(ctx, tx, "")
	if err == nil && can == 0 {
		err = fault.Conflict("no administrator could sign in with a password: make one with a password first")
	}
	return err
}

// aboutSignInMode is the data of signin.mode_changed.
type aboutSignInMode struct {
	Passwords        Passwords `json:"passwords"`
	StraightTo       string    `json:"straight_to,omitempty"`
	PasswordsBefore  Passwords `json:"passwords_before"`
	StraightToBefore string    `json:"straight_to_before,omitempty"`
	LeftOut          int       `json:"left_out,omitempty"`
}

// LeftOutByPasswords says, in tx, who would have no way in left were these the
// passwords that sign in. Who is disabled, or has none as it is, does not count.
func (s *Service) LeftOutByPasswords(ctx context.Context, tx *sqlite.Tx, then Passwords) (LeftOut, error) {
	mode, err := selectSignInMode(ctx, tx)
	if err != nil {
		return LeftOut{}, err
	}
	people, err := peopleWithPassword(ctx, tx)
	if err != nil {
		return LeftOut{}, err
	}
	return s.leftWithout(ctx, tx, slices.DeleteFunc(people, func(p Person) bool { return !mode.Passwords.of(p) || then.of(p) }))
}

// mayProveByPassword refuses, in tx, a session that a password has a part in
// which signs in no more: a sign-in may have been under way when the mode
// changed.
func (s *Service) mayProveByPassword(ctx context.Context, tx *sqlite.Tx, p Person, methods []Method) error {
	if !slices.Contains(methods, MethodPassword) {
		return nil
	}
	takes, err := s.TakesPassword(ctx, tx, p)
	if err == nil && !takes {
		err = errWrong()
	}
	return err
}

// mayHavePassword refuses whoever is signed in and gives, or wants, a password
// that signs nobody in.
func (s *Service) mayHavePassword(ctx context.Context, tx *sqlite.Tx, p Person) error {
	takes, err := s.TakesPassword(ctx, tx, p)
	if err == nil && !takes {
		err = fault.Conflict("only administrators sign in with a password here, as the sign-in mode says")
	}
	return err
}

// WayToAdd says what an administrator does first for somebody who would have no
// way in.
func (s *Service) WayToAdd(ctx context.Context, tx *sqlite.Tx) (string, error) {
	mode, err := selectSignInMode(ctx, tx)
	if mode.Passwords == PasswordsOfAdministrators {
		return OtherWayFirst, err
	}
	return "set a password for them first, or have them add a passkey or link another identity", err
}
