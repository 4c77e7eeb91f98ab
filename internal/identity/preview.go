package identity

import (
	"context"
	"time"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Preview is what a policy says of one person, before they come.
type Preview struct {
	Person Person
	// Subject is who they would be by the one of their ways to sign in that
	// leads furthest; the zero Subject where they have none.
	Subject Subject
	Verdict Verdict
	WayIn   bool // whether they can sign in, were they not disabled
}

// Imagined is a sign-in that did not happen.
type Imagined struct {
	Strength Strength
	// Provider is where it was, [ProviderLocal] or a provider's name; wherever
	// it leads furthest when empty.
	Provider string
	Age      time.Duration // how long ago it was, less than a session lives
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
			if list[i], err = s.preview(ctx, tx, g, v, p, Imagined{Strength: StrengthPasskey}); err != nil {
				return err
			}
		}
		return nil
	})
	return list, next, err
}

// PreviewOf is Preview for one person and one sign-in. A sign-in that they
// cannot have is a fault of kind BadInput that names the field.
func (s *Service) PreviewOf(ctx context.Context, g *Gate, v Visit, username string, by Imagined) (one Preview, err error) {
	if by.Age < 0 || by.Age >= s.lifetime {
		return one, fault.InvalidFields([]fault.Field{{Name: "age", Message: "is from 0s to less than " + s.lifetime.String() + ", when a session ends"}})
	}
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		p, _, err := personByName(ctx, tx, username)
		if err != nil {
			return err
		}
		one, err = s.preview(ctx, tx, g, v, p, by)
		return err
	})
	return one, err
}

// preview asks of each way in which a person can sign in. A way leads further
// when it is let in, or when something would help.
func (s *Service) preview(ctx context.Context, tx *sqlite.Tx, g *Gate, v Visit, p Person, by Imagined) (Preview, error) {
	ways, err := s.likeliestWays(ctx, tx, p, by.Provider)
	if err != nil {
		return Preview{}, err
	}
	v.OnlyProvider = s.OnlyProvider()
	best := Preview{Person: p, WayIn: len(ways) > 0, Verdict: g.Enter(nil, v)}
	for i, way := range ways {
		subject, err := s.imagine(ctx, tx, p, way, by, v.At)
		if err != nil {
			return Preview{}, err
		}
		verdict := g.Enter(&subject, v)
		if i == 0 || rank(verdict) > rank(best.Verdict) {
			best.Subject, best.Verdict = subject, verdict
		}
	}
	return best, nil
}

// likeliestWays lists how somebody can sign in, at one provider or at any:
// providers first, as they tell most, and Berth itself once, by a passkey alone
// only where there is no password.
func (s *Service) likeliestWays(ctx context.Context, tx *sqlite.Tx, p Person, at string) ([]Way, error) {
	all, err := s.ways(ctx, tx, p.ID, "")
	if err != nil {
		return nil, err
	}
	var ways, local []Way
	for _, way := range all {
		switch {
		case at != "" && way.Provider != at:
		case way.Provider != ProviderLocal:
			ways = append(ways, way)
		case local == nil:
			local = []Way{way}
		}
	}
	ways = append(ways, local...)
	if at != "" && len(ways) == 0 {
		return nil, fault.InvalidFields([]fault.Field{{Name: "provider", Message: "is none where " + p.Username + " can sign in"}})
	}
	return ways, nil
}

// imagine gives who somebody would be by a sign-in.
func (s *Service) imagine(ctx context.Context, tx *sqlite.Tx, p Person, way Way, by Imagined, now time.Time) (Subject, error) {
	at := now.Add(-by.Age)
	session := Session{Provider: way.Provider, identityID: way.IdentityID, Methods: way.proving(by.Strength)}
	session.proved(at, session.Methods)
	subject, err := s.subjectOf(ctx, tx, p, session)
	if err != nil {
		return Subject{}, err
	}
	if told := at.Add(toldFor); way.IdentityID != "" && told.After(subject.SyncedUntil) {
		subject.SyncedUntil = told // a sign-in tells anew
	}
	return subject, nil
}

// proving gives what is proved by a sign-in of a strength.
func (w Way) proving(strength Strength) []Method {
	methods := []Method{w.Method}
	switch strength {
	case StrengthAny:
	case StrengthSecondFactor:
		if !strong(methods) {
			methods = append(methods, MethodTOTP)
		}
	case StrengthPasskey:
		if w.Method != MethodPasskey {
			methods = append(methods, MethodPasskey)
		}
	}
	return methods
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
