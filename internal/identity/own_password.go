package identity

import (
	"context"
	"slices"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// AddPassword gives the subject, who has none, a password. prove is called in
// the transaction, and refuses whoever does not prove now who they are. Nothing
// ends: nobody knew another one. Role and account stay what they were; see
// Person.Local.
func (s *Service) AddPassword(ctx context.Context, subject Subject, chosen secret.Text, prove func(*sqlite.Tx) error) error {
	if err := Decide(&subject, ActionOwnAccount, On{}); err != nil {
		return err
	}
	if err := checkNewPassword("new", subject.Person.Username, chosen); err != nil {
		return err
	}
	hash, err := s.passwords.hash(ctx, chosen)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, err := s.own(ctx, tx, subject)
		if err != nil {
			return err
		}
		if p.HasPassword {
			return fault.Conflict("you have a password: change it, with the one you have")
		}
		if err := s.mayHavePassword(ctx, tx, p); err != nil {
			return err
		}
		if err := prove(tx); err != nil {
			return err
		}
		if err := updatePassword(ctx, tx, p.ID, hash, s.now()); err != nil {
			return err
		}
		s.reread(tx, p.ID)
		if err := s.reckon(ctx, tx); err != nil {
			return err
		}
		return s.record(ctx, tx, PasswordAdded, p.Username, aboutPerson{ID: p.ID, Username: p.Username})
	})
}

// RemovePassword takes the subject's password from them, where another way in
// remains, and ends their other sessions that it began. prove is as in
// [Service.AddPassword]. The last administrator who has a password keeps it.
func (s *Service) RemovePassword(ctx context.Context, subject Subject, prove func(*sqlite.Tx) error) error {
	if err := Decide(&subject, ActionOwnAccount, On{}); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, err := s.own(ctx, tx, subject)
		if err != nil {
			return err
		}
		if !p.HasPassword {
			return fault.NotFound("you have no password")
		}
		if err := prove(tx); err != nil {
			return err
		}
		if err := updatePassword(ctx, tx, p.ID, nil, s.now()); err != nil {
			return err
		}
		if err := s.mayLackPassword(ctx, tx, p); err != nil {
			return err
		}
		if err := s.endPasswordSessions(ctx, tx, p, subject.SessionID); err != nil {
			return err
		}
		s.forget(tx, p.ID)
		if err := s.reckon(ctx, tx); err != nil {
			return err
		}
		return s.record(ctx, tx, PasswordRemoved, p.Username, aboutPerson{ID: p.ID, Username: p.Username})
	})
}

// own reads the subject anew.
func (s *Service) own(ctx context.Context, tx *sqlite.Tx, subject Subject) (Person, error) {
	p, _, err := personByID(ctx, tx, subject.Person.ID)
	if err == nil && p.Disabled {
		err = fault.SignIn("sign in first")
	}
	return p, err
}

// mayLackPassword refuses it to whoever has no other way in, and where nobody
// would be left who administers whatever becomes of every other way in.
func (s *Service) mayLackPassword(ctx context.Context, tx *sqlite.Tx, p Person) error {
	has, err := s.HasWayIn(ctx, tx, p.ID)
	switch {
	case err != nil:
		return err
	case !has:
		return fault.Conflict("your password is your only way in: add a passkey or link another identity first")
	case p.GivenRole != RoleAdministrator || !p.Local:
		return nil
	}
	others, err := countAdministrators(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	if others == 0 {
		return fault.Conflict("%s is the last administrator with a password: it lets somebody in whatever becomes of passkeys and providers", p.Username)
	}
	return nil
}

// endPasswordSessions ends the sessions that a password had a part in, but the
// one to keep: whoever else knew it is out.
func (s *Service) endPasswordSessions(ctx context.Context, tx *sqlite.Tx, p Person, keep string) error {
	list, err := selectSessions(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	for _, one := range list {
		if one.ID == keep || !slices.Contains(one.Methods, MethodPassword) {
			continue
		}
		if err := s.endSessionOf(ctx, tx, p.Username, p, one, "password removed"); err != nil {
			return err
		}
	}
	return nil
}
