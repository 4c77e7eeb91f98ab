package identity

import (
	"context"
	"slices"

	"berth/internal/fault"
)

// IdentityIn gives the identity of a person at a provider, for what is done on
// their behalf in a session that still lives: the one that the session began
// with, or the one that they signed in with last. The fault is of kind
// Unauthenticated when the session is over, and Missing when the provider does
// not know them.
func (s *Service) IdentityIn(ctx context.Context, personID, sessionID, provider string) (Identity, error) {
	sessions, err := s.Sessions(ctx, personID)
	if err != nil {
		return Identity{}, err
	}
	at := slices.IndexFunc(sessions, func(one Session) bool { return one.ID == sessionID })
	if at < 0 {
		return Identity{}, fault.SignIn("the session is over")
	}
	found, err := s.Identities(ctx, personID)
	if err != nil {
		return Identity{}, err
	}
	found = slices.DeleteFunc(found, func(one Identity) bool { return one.Provider != provider })
	if len(found) == 0 {
		return Identity{}, fault.NotFound("the person has no identity at %q", provider)
	}
	return slices.MaxFunc(found, func(a, b Identity) int {
		if a.ID == sessions[at].identityID {
			return 1
		}
		if b.ID == sessions[at].identityID {
			return -1
		}
		return a.LastSignInAt.Compare(b.LastSignInAt)
	}), nil
}
