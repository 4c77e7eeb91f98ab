package identity

import (
	"context"
	"time"

	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// setupLives is how long the link works with which the first administrator is
// made.
const setupLives = 24 * time.Hour

// NeedsSetup says whether there is nobody yet.
func (s *Service) NeedsSetup(ctx context.Context) (needed bool, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		needed, err = s.NeedsSetupIn(ctx, tx)
		return err
	})
	return needed, err
}

// NeedsSetupIn is NeedsSetup as a part of a transaction.
func (s *Service) NeedsSetupIn(ctx context.Context, tx *sqlite.Tx) (bool, error) {
	anybody, err := anyPerson(ctx, tx)
	return !anybody, err
}

// SetupLink makes the one-time token with which the first administrator is
// made, good for 24 hours; one made earlier works no more. When there is
// somebody already it gives a fault of kind Clash.
func (s *Service) SetupLink(ctx context.Context) (secret.Text, error) {
	token, now := newSecret(""), s.now()
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := nobodyYet(ctx, tx); err != nil {
			return err
		}
		if err := deleteSetupLinks(ctx, tx); err != nil {
			return err
		}
		return insertSetupLink(ctx, tx, digestOf(token), now, now.Add(setupLives))
	})
	if err != nil {
		return secret.Text{}, err
	}
	return token, nil
}

// UseSetupLink makes the first administrator and signs them in, or says by a
// [FactorError] that they have to set up a second factor first. The token works
// once, and not at all when there is somebody by then.
func (s *Service) UseSetupLink(ctx context.Context, token secret.Text, username string, password secret.Text, from Origin) (session secret.Text, subject Subject, err error) {
	// Looked at before the password is hashed: only who has the link may make
	// this machine work.
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error { return s.checkSetupLink(ctx, tx, token) })
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	p := Person{Username: username, Role: RoleAdministrator}
	hash, err := s.checkNewPerson(ctx, &p, password)
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	proof := Proof{Methods: []Method{MethodPassword}}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := s.checkSetupLink(ctx, tx, token); err != nil {
			return err
		}
		if err := deleteSetupLinks(ctx, tx); err != nil {
			return err
		}
		if err := s.addPerson(ctx, tx, p.Username, &p, hash); err != nil {
			return err
		}
		// The person stays, also where they have to set up a factor first.
		if !s.enough(p, proof.Methods) {
			return nil
		}
		if session, subject, err = s.startSession(ctx, tx, p, proof, from); err != nil {
			return err
		}
		return s.recordSignIn(ctx, tx, SignInSucceeded, p, from, ViaSession, proof.Methods...)
	})
	if err == nil {
		err = s.short(p, hash, proof)
	}
	if err != nil {
		return secret.Text{}, Subject{}, err
	}
	return session, subject, nil
}

// EnsureAdministrator makes an administrator when there is nobody at all, and
// does nothing otherwise.
func (s *Service) EnsureAdministrator(ctx context.Context, username string, password secret.Text) error {
	needed, err := s.NeedsSetup(ctx)
	if err != nil || !needed {
		return err
	}
	p := Person{Username: username, Role: RoleAdministrator}
	hash, err := s.checkNewPerson(ctx, &p, password)
	if err != nil {
		return err
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := nobodyYet(ctx, tx); err != nil {
			return err
		}
		if err := deleteSetupLinks(ctx, tx); err != nil {
			return err
		}
		return s.addPerson(ctx, tx, berth, &p, hash)
	})
	if fault.KindOf(err) == fault.Clash {
		return nil // somebody was quicker
	}
	return err
}

func (s *Service) checkSetupLink(ctx context.Context, tx *sqlite.Tx, token secret.Text) error {
	if err := nobodyYet(ctx, tx); err != nil {
		return err
	}
	good, err := hasSetupLink(ctx, tx, digestOf(token), s.now())
	if err != nil {
		return err
	}
	if !good {
		return fault.Forbidden("this set-up link is not valid or has expired: start Berth again for a new one")
	}
	return nil
}

func nobodyYet(ctx context.Context, tx *sqlite.Tx) error {
	anybody, err := anyPerson(ctx, tx)
	if err != nil {
		return err
	}
	if anybody {
		return fault.Conflict("Berth is set up already: sign in")
	}
	return nil
}
