package identity

import (
	"context"
	"slices"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Way is one way in which somebody can sign in.
type Way struct {
	Provider   string // ProviderLocal, or the provider's name
	IdentityID string // of another provider's
	Method     Method // what is proved
}

// WaysIn lists, in tx, the ways in which somebody can sign in now by what its
// package keeps, the likeliest first; without is the slug of a provider that
// does not count, or "".
type WaysIn func(ctx context.Context, tx *sqlite.Tx, personID, without string) ([]Way, error)

// OnWayIn has f asked how somebody can sign in, besides with a password. It is
// called before the Service is used.
func (s *Service) OnWayIn(f WaysIn) { s.waysIn = append(s.waysIn, f) }

// HasWayIn says, in tx, whether somebody who is not disabled can sign in: with
// a password that the mode takes, by a passkey alone, or at a provider that is
// switched on.
func (s *Service) HasWayIn(ctx context.Context, tx *sqlite.Tx, personID string) (bool, error) {
	return s.hasWayIn(ctx, tx, personID, "")
}

// CanSignIn is [Service.HasWayIn] in a transaction of its own.
func (s *Service) CanSignIn(ctx context.Context, personID string) (can bool, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		can, err = s.HasWayIn(ctx, tx, personID)
		return err
	})
	return can, err
}

func (s *Service) hasWayIn(ctx context.Context, tx *sqlite.Tx, personID, without string) (bool, error) {
	ways, err := s.ways(ctx, tx, personID, without)
	return len(ways) > 0, err
}

// ways lists, in tx, how somebody can sign in, a password first.
func (s *Service) ways(ctx context.Context, tx *sqlite.Tx, personID, without string) (list []Way, err error) {
	p, _, err := personByID(ctx, tx, personID)
	if err != nil {
		return nil, err
	}
	takes, err := s.TakesPassword(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	if takes && p.HasPassword {
		list = append(list, Way{Provider: ProviderLocal, Method: MethodPassword})
	}
	others, err := s.otherWays(ctx, tx, personID, without)
	return append(list, others...), err
}

// otherWays lists, in tx, how somebody can sign in without a password.
func (s *Service) otherWays(ctx context.Context, tx *sqlite.Tx, personID, without string) (list []Way, err error) {
	for _, f := range s.waysIn {
		more, err := f(ctx, tx, personID, without)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// LeftOut is who would have no way in any more.
type LeftOut struct {
	People    int      `json:"people" doc:"How many people would have no way in left"`
	Usernames []string `json:"usernames" doc:"Up to 20 of them, by name"`
}

// maxLeftOutNamed bounds how many people a LeftOut names.
const maxLeftOutNamed = 20

func (l *LeftOut) add(p Person) {
	if l.People++; l.People <= maxLeftOutNamed {
		l.Usernames = append(l.Usernames, p.Username)
	}
}

// LeftOut says, in tx, who would have no way in left without a provider. Who is
// disabled, or has none as it is, does not count.
func (s *Service) LeftOut(ctx context.Context, tx *sqlite.Tx, provider string) (LeftOut, error) {
	left := LeftOut{Usernames: []string{}}
	list, err := peopleOfProvider(ctx, tx, provider)
	if err != nil {
		return left, err
	}
	for _, p := range list {
		now, err := s.hasWayIn(ctx, tx, p.ID, "")
		if err != nil {
			return left, err
		}
		then, err := s.hasWayIn(ctx, tx, p.ID, provider)
		if err != nil {
			return left, err
		}
		if now && !then {
			left.add(p)
		}
	}
	return left, nil
}

// Unlink takes an identity from a person, the actor's own or, for an
// administrator, anybody's, and ends the sessions that began with it. Whoever
// would have no way in left keeps it.
func (s *Service) Unlink(ctx context.Context, actor Subject, personID, id string) error {
	if err := decideFor(actor, personID); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		p, _, err := personByID(ctx, tx, personID)
		if err != nil {
			return err
		}
		list, err := selectIdentities(ctx, tx, personID)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(i Identity) bool { return i.ID == id })
		if at < 0 {
			return fault.NotFound("there is no such identity")
		}
		if _, err := s.endIdentitySessions(ctx, tx, actor.Person.Username, id, "identity unlinked"); err != nil {
			return err
		}
		if err := deleteIdentity(ctx, tx, id); err != nil {
			return err
		}
		if err := s.leaveAddress(ctx, tx, p, id); err != nil {
			return err
		}
		if err := s.staysIn(ctx, tx, actor, p); err != nil {
			return err
		}
		if err := s.record(ctx, tx, IdentityUnlinked, actor.Person.Username, list[at].about(p)); err != nil {
			return err
		}
		return s.reckon(ctx, tx)
	})
}

// staysIn refuses what has taken, in tx, the last way in of somebody, and says
// what to add first.
func (s *Service) staysIn(ctx context.Context, tx *sqlite.Tx, actor Subject, p Person) error {
	has, err := s.HasWayIn(ctx, tx, p.ID)
	if err != nil || has {
		return err
	}
	if actor.Person.ID == p.ID {
		return s.noOtherWay(ctx, tx, p)
	}
	first, err := s.WayToAdd(ctx, tx)
	if err != nil {
		return err
	}
	return fault.Conflict("%s has no other way in: %s", p.Username, first)
}

// noOtherWay tells somebody what to add first.
func (s *Service) noOtherWay(ctx context.Context, tx *sqlite.Tx, p Person) error {
	takes, err := s.TakesPassword(ctx, tx, p)
	switch {
	case err != nil:
		return err
	case !takes:
		return fault.Conflict("you have no other way in: add a passkey or link another identity first")
	}
	return fault.Conflict("you have no other way in: set a password, add a passkey or link another identity first")
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
