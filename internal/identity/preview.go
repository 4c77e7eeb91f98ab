package identity

import (
	"context"
	"time"

	"berth/internal/sqlite"
)

// Preview is what a policy says of one person, before they come.
type Preview struct {
	Person  Person
	Subject Subject // the one of their ways to sign in that leads furthest
	Verdict Verdict
}

// Preview asks a gate of each person whether they could make a visit, by
// their names, from behind cursor: see [Service.People]. It is taken that they
// prove all that is asked for; groups and claims are what their providers last
// told.
func (s *Service) Preview(ctx context.Context, g *Gate, v Visit, cursor string, limit int) (list []Preview, next string, err error) {
	people, next, err := s.People(ctx, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	list = make([]Preview, len(people))
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		for i, p := range people {
			if list[i], err = s.preview(ctx, tx, g, v, p, StrengthPasskey); err != nil {
				return err
			}
		}
		return nil
	})
	return list, next, err
}

// PreviewOf is Preview for one person, whose sign-in of just now had a
// strength.
func (s *Service) PreviewOf(ctx context.Context, g *Gate, v Visit, username string, strength Strength) (one Preview, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		p, _, err := personByName(ctx, tx, username)
		if err != nil {
			return err
		}
		one, err = s.preview(ctx, tx, g, v, p, strength)
		return err
	})
	return one, err
}

// preview asks of each way in which a person can sign in. A way leads further
// when it is let in, or when something would help.
func (s *Service) preview(ctx context.Context, tx *sqlite.Tx, g *Gate, v Visit, p Person, strength Strength) (Preview, error) {
	ways, err := identityWays(ctx, tx, p.ID)
	if err != nil {
		return Preview{}, err
	}
	v.OnlyProvider = s.OnlyProvider()
	best := Preview{Person: p}
	for i, way := range append([]Session{{Provider: ProviderLocal}}, ways...) {
		subject, err := s.subjectOf(ctx, tx, p, imagined(way, strength, v.At))
		if err != nil {
			return Preview{}, err
		}
		subject.SyncedUntil = time.Time{} // a sign-in tells anew
		verdict := g.Enter(&subject, v)
		if i == 0 || rank(verdict) > rank(best.Verdict) {
			best.Subject, best.Verdict = subject, verdict
		}
	}
	return best, nil
}

// imagined is a session that would begin just now.
func imagined(way Session, strength Strength, now time.Time) Session {
	way.Methods = []Method{MethodPassword}
	if way.identityID != "" {
		way.Methods[0] = MethodProvider
	}
	switch strength {
	case StrengthAny:
	case StrengthSecondFactor:
		way.Methods = append(way.Methods, MethodTOTP)
	case StrengthPasskey:
		way.Methods = append(way.Methods, MethodPasskey)
	}
	way.proved(now, way.Methods)
	return way
}

func rank(v Verdict) int {
	switch {
	case v.Allowed:
		return 2
	case v.Need != NeedNothing:
		return 1
	}
	return 0
}

// identityWays lists the providers that a person can sign in at.
func identityWays(ctx context.Context, tx *sqlite.Tx, personID string) ([]Session, error) {
	return sqlite.All(ctx, tx, func(from sqlite.Row) (way Session, err error) {
		err = from.Scan(&way.identityID, &way.Provider)
		return way, err
	}, `
		SELECT id, provider
		FROM identities
		WHERE person_id = ?
		ORDER BY provider, id`, personID)
}
