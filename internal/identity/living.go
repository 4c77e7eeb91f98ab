package identity

import (
	"context"
	"time"

	"berth/internal/sqlite"
)

// Living is an identity that somebody is signed in with.
type Living struct {
	ID       string
	Provider string
	SyncedAt time.Time // when the provider last told of groups and claims
}

// Living lists the identities that sessions began with which are not over, in
// no order; only the one of that id, when there is one.
func (s *Service) Living(ctx context.Context, id string) (list []Living, err error) {
	now := s.now()
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = livingIdentities(ctx, tx, id, now, now.Add(-s.idle))
		return err
	})
	return list, err
}

// EndIdentitySessions ends, in tx, every session that began with an identity,
// and says how many that were.
func (s *Service) EndIdentitySessions(ctx context.Context, tx *sqlite.Tx, id, why string) (int, error) {
	return s.endIdentitySessions(ctx, tx, berth, id, why)
}

func (s *Service) endIdentitySessions(ctx context.Context, tx *sqlite.Tx, actor, id, why string) (int, error) {
	list, err := sessionsOfIdentity(ctx, tx, id)
	return s.endAll(ctx, tx, actor, Ended{IdentityID: id}, list, err, why)
}
