package factor

import (
	"context"
	"encoding/hex"
	"errors"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// StepUpMethods lists how the subject can prove again who they are: by a
// second factor, or by the password for want of one.
func (s *Service) StepUpMethods(ctx context.Context, subject identity.Subject) (list []identity.Method, err error) {
	if subject.Via != identity.ViaSession {
		return nil, errNoStepUp()
	}
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		if list, err = s.methods(ctx, tx, subject.Person.ID); err != nil || len(list) > 0 {
			return err
		}
		p, err := s.people.PersonByID(ctx, tx, subject.Person.ID)
		if err != nil {
			return err
		}
		takes, err := s.people.TakesPassword(ctx, tx, p)
		if takes && p.HasPassword {
			list = append(list, identity.MethodPassword)
		}
		return err
	})
	return list, err
}

func errNoStepUp() error {
	return fault.Invalid("only a session can be strengthened: sign in with a browser")
}

// StepUp proves by a password or a code. The session has a new token then.
func (s *Service) StepUp(ctx context.Context, subject identity.Subject, method identity.Method, given secret.Text, from identity.Origin) (Outcome, error) {
	if subject.Via != identity.ViaSession {
		return Outcome{}, errNoStepUp()
	}
	if method == identity.MethodPassword {
		return s.stepUpByPassword(ctx, subject, given)
	}
	of, err := s.secretFor(ctx, subject.Person.ID, method)
	if err != nil {
		return Outcome{}, err
	}
	guess, err := s.people.GuessFactor(subject.Person.ID)
	if err != nil {
		return Outcome{}, err
	}
	out, err := s.strengthen(ctx, subject, method, func(tx *sqlite.Tx) error {
		return s.redeem(ctx, tx, subject.Person, method, given.Reveal(), of)
	})
	if fault.KindOf(err) == fault.Unauthenticated {
		return Outcome{}, errors.Join(proveWrongField(err, "code"), s.people.RecordFailure(ctx, subject.Person, method, from))
	}
	if err != nil {
		return Outcome{}, err
	}
	guess.Right()
	return out, nil
}

// stepUpByPassword is for those who have no second factor: to them it proves
// all that they can.
func (s *Service) stepUpByPassword(ctx context.Context, subject identity.Subject, password secret.Text) (Outcome, error) {
	if subject.Person.SecondFactor {
		return Outcome{}, fault.InvalidFields([]fault.Field{{Name: "method", Message: "is passkey, totp or recovery: a password proves less than you have"}})
	}
	stamp, err := s.people.ConfirmPassword(ctx, subject, password)
	if err != nil {
		return Outcome{}, err
	}
	return s.strengthen(ctx, subject, identity.MethodPassword, func(tx *sqlite.Tx) error {
		return s.people.StillConfirmed(ctx, tx, subject, stamp)
	})
}

// AskStepUp asks for a passkey of the subject.
func (s *Service) AskStepUp(ctx context.Context, subject identity.Subject) (Question, error) {
	if subject.Via != identity.ViaSession {
		return Question{}, errNoStepUp()
	}
	return s.askOf(ctx, subject.Person.ID, forStepUp, subject.SessionID)
}

// StepUpByPasskey proves by the passkey that answered.
func (s *Service) StepUpByPasskey(ctx context.Context, subject identity.Subject, sealed secret.Text, answer []byte, from identity.Origin) (Outcome, error) {
	if subject.Via != identity.ViaSession {
		return Outcome{}, errNoStepUp()
	}
	used, err := s.check(ctx, subject.Person.ID, sealed, answer, forStepUp, subject.SessionID)
	if fault.KindOf(err) == fault.Unauthenticated {
		return Outcome{}, errors.Join(proveWrong(err), s.people.RecordFailure(ctx, subject.Person, identity.MethodPasskey, from))
	}
	if err != nil {
		return Outcome{}, err
	}
	return s.strengthen(ctx, subject, identity.MethodPasskey, func(tx *sqlite.Tx) error {
		return s.usedPasskey(ctx, tx, subject.Person, used)
	})
}

func (s *Service) strengthen(ctx context.Context, subject identity.Subject, method identity.Method, prove func(*sqlite.Tx) error) (out Outcome, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := prove(tx); err != nil {
			return err
		}
		out.Session, out.Subject, err = s.people.Strengthen(ctx, tx, subject, method)
		return err
	})
	return out, err
}

// proveWrongField is proveWrong for one field: a 401 would say that there is
// no session.
func proveWrongField(err error, field string) error {
	return fault.InvalidFields([]fault.Field{{Name: field, Message: fault.Message(err)}})
}

// holderOf names an attempt in a challenge.
func holderOf(hash digest) string { return hex.EncodeToString(hash[:]) }
