package identity

import (
	"context"
	"slices"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// OnWayIn has f asked, in the transaction, whether somebody without a password
// and without an identity can sign in nevertheless. It is called before the
// Service is used.
func (s *Service) OnWayIn(f func(ctx context.Context, tx *sqlite.Tx, personID string) (bool, error)) {
	s.waysIn = append(s.waysIn, f)
}

// Unlink takes an identity from a person, the actor's own or, for an
// administrator, anybody's, and ends the sessions that began with it. The last
// way in stays.
func (s *Service) Unlink(ctx context.Context, actor Subject, personID, id string) error {
	if err := decideFor(actor, personID); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, hash, err := personByID(ctx, tx, personID)
		if err != nil {
			return err
		}
		list, err := selectIdentities(ctx, tx, personID)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(i Identity) bool { return i.ID == id })
		switch {
		case at < 0:
			return fault.NotFound("there is no such identity")
		case hash == nil && len(list) == 1:
			if err := s.staysIn(ctx, tx, actor, p); err != nil {
				return err
			}
		}
		sessions, err := sessionsOfIdentity(ctx, tx, id)
		if err != nil {
			return err
		}
		for _, one := range sessions {
			if err := s.endSession(ctx, tx, actor.Person.Username, one, "identity unlinked"); err != nil {
				return err
			}
		}
		if err := deleteIdentity(ctx, tx, id); err != nil {
			return err
		}
		if err := s.record(ctx, tx, IdentityUnlinked, actor.Person.Username, list[at].about(p)); err != nil {
			return err
		}
		return s.reckon(ctx, tx)
	})
}

// staysIn refuses to take the last identity of somebody without a password who
// has nothing else to sign in with, and says what to add first.
func (s *Service) staysIn(ctx context.Context, tx *sqlite.Tx, actor Subject, p Person) error {
	for _, way := range s.waysIn {
		leads, err := way(ctx, tx, p.ID)
		if err != nil || leads {
			return err
		}
	}
	if actor.Person.ID == p.ID {
		return fault.Conflict("you have no other way in: add a passkey or link another identity first, or have an administrator set a password for you")
	}
	return fault.Conflict("%s has no other way in: set a password for them first, or have them add a passkey or link another identity", p.Username)
}

// BreakGlass lists the administrators who can sign in with a password,
// whatever becomes of every provider.
func (s *Service) BreakGlass(ctx context.Context) (usernames []string, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		usernames, err = administratorsWithPassword(ctx, tx)
		return err
	})
	return usernames, err
}
