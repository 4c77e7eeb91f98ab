package identity

import (
	"context"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// ChangePassword gives the subject a new password for the old one, and ends
// their other sessions. API tokens stay.
func (s *Service) ChangePassword(ctx context.Context, subject Subject, old, fresh secret.Text) error {
	if err := Decide(&subject, ActionOwnAccount, On{}); err != nil {
		return err
	}
	if err := checkNewPassword("new", subject.Person.Username, fresh); err != nil {
		return err
	}
	p, was, err := s.proveOwn(ctx, subject, "old", old)
	if err != nil {
		return err
	}
	hash, err := s.passwords.hash(ctx, fresh)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if p, err = s.unchanged(ctx, tx, subject.Person.ID, was); err != nil {
			return err
		}
		return s.storePassword(ctx, tx, p.Username, p, hash, subject.SessionID)
	})
}

// ConfirmPassword says whether it is the subject's password, within the limits
// of its change. Comparing it takes a while: what is done by it asks
// [Service.StillConfirmed] in its transaction.
func (s *Service) ConfirmPassword(ctx context.Context, subject Subject, password secret.Text) (Stamp, error) {
	_, hash, err := s.proveOwn(ctx, subject, "password", password)
	return stampOf(hash), err
}

// StillConfirmed refuses, in tx, a password that was confirmed and by now is
// another one, or one that the sign-in mode does not take.
func (s *Service) StillConfirmed(ctx context.Context, tx *sqlite.Tx, subject Subject, stamp Stamp) error {
	p, hash, err := personByID(ctx, tx, subject.Person.ID)
	if err != nil {
		return err
	}
	if stampOf(hash) != stamp {
		return fault.Conflict("your password was changed meanwhile: give it again")
	}
	return s.mayHavePassword(ctx, tx, p)
}

// proveOwn is prove for somebody who is signed in; field is where they gave
// the password. One that signs nobody in proves nothing here either. It has an origin of its own: whoever took over a session
// guesses no faster than at the door, and nobody at the door, from however
// many networks, is in the person's way here.
func (s *Service) proveOwn(ctx context.Context, subject Subject, field string, password secret.Text) (Person, []byte, error) {
	err := s.db.Read(ctx, func(tx *sqlite.Tx) error { return s.mayHavePassword(ctx, tx, subject.Person) })
	if err != nil {
		return Person{}, nil, err
	}
	p, hash, err := s.prove(ctx, subject.Person.Username, password, Origin{Address: "password change", signedIn: true})
	if fault.KindOf(err) == fault.Unauthenticated {
		err = fault.InvalidFields([]fault.Field{{Name: field, Message: "is not your password"}})
	}
	return p, hash, err
}

// SetPassword gives somebody a new password, for an administrator, and ends all
// their sessions. Their API tokens stay: they were not made with the old one. The
// account is Berth's own from then on.
func (s *Service) SetPassword(ctx context.Context, actor, username string, password secret.Text) error {
	if err := checkNewPassword("password", username, password); err != nil {
		return err
	}
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, _, err := personByName(ctx, tx, username)
		if err != nil {
			return err
		}
		if err := makeLocal(ctx, tx, p.ID); err != nil {
			return err
		}
		return s.storePassword(ctx, tx, actor, p, hash, "")
	})
}

// storePassword ends all sessions but the one to keep: whoever had the old
// password is out.
func (s *Service) storePassword(ctx context.Context, tx *sqlite.Tx, actor string, p Person, hash []byte, keep string) error {
	if err := updatePassword(ctx, tx, p.ID, hash, s.now()); err != nil {
		return err
	}
	if _, err := s.endSessions(ctx, tx, actor, p.ID, keep, "password changed"); err != nil {
		return err
	}
	s.forget(tx, p.ID)
	if err := s.reckon(ctx, tx); err != nil {
		return err
	}
	return s.record(ctx, tx, PasswordChanged, actor, aboutPerson{ID: p.ID, Username: p.Username})
}
