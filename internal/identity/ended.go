package identity

import (
	"context"

	"berth/internal/sqlite"
)

// Ended says whose sign-ins are over: what is set narrows it. All that is set
// holds; at least one is.
type Ended struct {
	PersonID    string
	Provider    string
	IdentityID  string
	UpstreamSID string // the session at the provider
}

// OnEnded has f called, in the same transaction, whenever all the sessions of
// somebody, of an identity or of a provider are ended: what is half a sign-in
// is over then, too, and ends no later by becoming a session. It is called
// before the Service is used.
func (s *Service) OnEnded(f func(ctx context.Context, tx *sqlite.Tx, e Ended) error) { s.onEnded = f }

func (s *Service) ended(ctx context.Context, tx *sqlite.Tx, e Ended) error {
	if s.onEnded == nil || e == (Ended{}) {
		return nil
	}
	return s.onEnded(ctx, tx, e)
}
