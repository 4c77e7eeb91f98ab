package identity

import (
	"context"
	"errors"

	"berth/internal/sqlite"
)

// EndProviderSessions ends, in tx, every session that began at a provider, and
// says how many that were.
func (s *Service) EndProviderSessions(ctx context.Context, tx *sqlite.Tx, actor, provider, why string) (int, error) {
	list, err := sessionsOfProvider(ctx, tx, provider)
	return s.endAll(ctx, tx, actor, Ended{Provider: provider}, list, err, why)
}

// EndUpstream ends, in tx, the sessions that began in one session at a
// provider, or, when sid is "", all of an identity's.
func (s *Service) EndUpstream(ctx context.Context, tx *sqlite.Tx, provider, issuer, externalID, sid string) (int, error) {
	if externalID == "" && sid == "" {
		return 0, nil
	}
	over := Ended{Provider: provider, UpstreamSID: sid}
	if externalID != "" {
		one, err := findIdentity(ctx, tx, External{Provider: provider, Issuer: issuer, ExternalID: externalID})
		if errors.Is(err, ErrUnknownIdentity) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		over.IdentityID = one.ID
	}
	list, err := sessionsUpstream(ctx, tx, provider, issuer, externalID, sid)
	return s.endAll(ctx, tx, berth, over, list, err, "signed out at the provider")
}

// endAll ends sessions, as they were read, and what is half a sign-in of whose
// they are.
func (s *Service) endAll(ctx context.Context, tx *sqlite.Tx, actor string, over Ended, list []Session, err error, why string) (int, error) {
	if err != nil {
		return 0, err
	}
	if err := s.ended(ctx, tx, over); err != nil {
		return 0, err
	}
	for _, one := range list {
		if err := s.endSession(ctx, tx, actor, one, why); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}
