package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"berth/internal/fault"
	"berth/internal/settings"
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

// InWords says who it is, naming a few.
func (l *LeftOut) InWords() string {
	if l.People == 1 {
		return l.Usernames[0] + " would have no way in left"
	}
	named := l.Usernames[:min(3, len(l.Usernames))]
	return fmt.Sprintf("%d people would have no way in left (%s%s)", l.People, strings.Join(named, ", "),
		map[bool]string{true: ", …"}[l.People > len(named)])
}

// OtherWayFirst is what could be done before a password is no way in any more.
const OtherWayFirst = "have them add a passkey or link another identity first"

// Meant refuses what leaves somebody out, unless it is forced; first is what
// could be done before.
func (l *LeftOut) Meant(force bool, first string) error {
	if l.People == 0 || force {
		return nil
	}
	return fault.Unmeant("by this, %s: %s", l.InWords(), first)
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
		if err := s.record(ctx, tx, IdentityUnlinked, actor.Person.Username, list[at].about(p)); err != nil {
			return err
		}
		// A list may have named the identity: with the role a password may go.
		if err := s.reckon(ctx, tx); err != nil {
			return err
		}
		if p, _, err = personByID(ctx, tx, p.ID); err != nil {
			return err
		}
		return s.staysIn(ctx, tx, actor, p)
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

// administratorsWithWayIn lists, in tx, who might lose their way in with the
// role of an administrator: nobody while everybody's passwords sign in.
func (s *Service) administratorsWithWayIn(ctx context.Context, tx *sqlite.Tx) (list []Person, err error) {
	mode, err := selectSignInMode(ctx, tx)
	if err != nil || mode.Passwords == PasswordsOfEverybody {
		return nil, err
	}
	people, err := selectAdministrators(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		has, err := s.HasWayIn(ctx, tx, p.ID)
		if err != nil {
			return nil, err
		}
		if has && !p.Disabled {
			list = append(list, p)
		}
	}
	return list, nil
}

// mayLoseWayIn refuses, unless it is forced, what has left some of those who had
// a way in, in tx, without one. Who is disabled by now does not count.
func (s *Service) mayLoseWayIn(ctx context.Context, tx *sqlite.Tx, had []Person, force bool) error {
	var left LeftOut
	for _, p := range had {
		now, _, err := personByID(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		has, err := s.HasWayIn(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		if !has && !now.Disabled {
			left.add(now)
		}
	}
	return left.Meant(force, OtherWayFirst)
}

// LeftOutByList says who would have no way in left were this the list of those
// who administer; an empty one is everybody's own role. It is who has a password
// that signs in administrators alone.
func (s *Service) LeftOutByList(ctx context.Context, list []settings.Admin) (left LeftOut, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		left, err = s.LeftOutByListIn(ctx, tx, list)
		return err
	})
	return left, err
}

// LeftOutByListIn is LeftOutByList in tx.
func (s *Service) LeftOutByListIn(ctx context.Context, tx *sqlite.Tx, list []settings.Admin) (LeftOut, error) {
	mode, err := selectSignInMode(ctx, tx)
	if err != nil || mode.Passwords == PasswordsOfEverybody {
		return LeftOut{Usernames: []string{}}, err
	}
	people, err := selectAdministrators(ctx, tx)
	if err != nil {
		return LeftOut{}, err
	}
	stays, err := administersBy(ctx, tx, list)
	if err != nil {
		return LeftOut{}, err
	}
	return s.leftWithout(ctx, tx, slices.DeleteFunc(people, func(p Person) bool {
		return p.Disabled || !p.HasPassword || !p.Local || stays(p)
	}))
}

// leftWithout says, in tx, which of those whose password is to count no more
// have no other way in.
func (s *Service) leftWithout(ctx context.Context, tx *sqlite.Tx, people []Person) (LeftOut, error) {
	left := LeftOut{Usernames: []string{}}
	for _, p := range people {
		others, err := s.otherWays(ctx, tx, p.ID, "")
		if err != nil {
			return left, err
		}
		if len(others) == 0 {
			left.add(p)
		}
	}
	return left, nil
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
