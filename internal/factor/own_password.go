package factor

import (
	"context"
	"errors"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// Proof is what somebody gives with a change of what proves them where no
// session says that they have just proved it: an API token does not.
type Proof struct {
	Method   identity.Method // of Code: totp or recovery
	Code     secret.Text
	Password secret.Text // of those who have no second factor
}

// AddPassword gives the subject, who has none, a password.
func (s *Service) AddPassword(ctx context.Context, subject identity.Subject, by Proof, chosen secret.Text, from identity.Origin) error {
	if subject.Via != identity.ViaSession && !subject.Person.SecondFactor && !subject.Person.HasPassword {
		return fault.Forbidden("an API token does not prove who you are, and you have no second factor: set the password in the dashboard, under Account")
	}
	return s.proved(ctx, subject, by, from, func(prove func(*sqlite.Tx) error) error {
		return s.people.AddPassword(ctx, subject, chosen, prove)
	})
}

// RemovePassword takes the subject's password from them, where another way in
// remains.
func (s *Service) RemovePassword(ctx context.Context, subject identity.Subject, by Proof, from identity.Origin) error {
	return s.proved(ctx, subject, by, from, func(prove func(*sqlite.Tx) error) error {
		return s.people.RemovePassword(ctx, subject, prove)
	})
}

// proved acts for whoever proves now who they are: by a session that is fresh,
// or else by a code, or by the password for want of a second factor. A code
// counts with what is done, or not at all.
func (s *Service) proved(ctx context.Context, subject identity.Subject, by Proof, from identity.Origin, act func(prove func(*sqlite.Tx) error) error) error {
	switch {
	case subject.Via == identity.ViaSession:
		if err := s.Fresh(subject); err != nil {
			return err
		}
		return act(func(*sqlite.Tx) error { return nil })
	case !subject.Person.HasPassword && !subject.Person.SecondFactor:
		return fault.NotFound("you have no password")
	case !subject.Person.SecondFactor:
		stamp, err := s.people.ConfirmPassword(ctx, subject, by.Password)
		if err != nil {
			return err
		}
		return act(func(tx *sqlite.Tx) error { return s.people.StillConfirmed(ctx, tx, subject, stamp) })
	case by.Code.Empty():
		return fault.InvalidFields([]fault.Field{{Name: "code", Message: "is needed: an API token alone does not prove who you are"}})
	}
	of, err := s.secretFor(ctx, subject.Person.ID, by.Method)
	if err != nil {
		return err
	}
	guess, err := s.people.GuessFactor(subject.Person.ID)
	if err != nil {
		return err
	}
	err = act(func(tx *sqlite.Tx) error {
		return s.redeem(ctx, tx, subject.Person, by.Method, by.Code.Reveal(), of)
	})
	if fault.KindOf(err) == fault.Unauthenticated {
		return errors.Join(proveWrongField(err, "code"), s.people.RecordFailure(ctx, subject.Person, by.Method, from))
	}
	if err != nil {
		return err
	}
	guess.Right()
	return nil
}
